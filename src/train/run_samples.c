/* run_samples: see the header. */
#include "run_samples.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "run_names.h"
#include "base/file.h"

static enum status out_of_memory(const char *path)
{
    return status_fail(STATUS_FAILED, "%s: out of memory", path);
}

enum status run_samples_begin(const struct run_directory *run, char **path)
{
    char *staging = path_join(run->samples, RUN_SAMPLES_STAGING);
    *path = staging ? file_temporary_name(staging) : NULL;
    free(staging);
    if (!*path)
        return out_of_memory(run->samples);
    enum status status = run_claim_verify(run->claim);
    if (status == STATUS_OK && mkdir(*path, 0700) == 0)
        return STATUS_OK;
    if (status == STATUS_OK)
        status = status_fail_errno("%s: can't be created", *path);
    free(*path);
    *path = NULL;
    return status;
}

/* `from` in the folder where the sample was written, `to` in samples/. */
static enum status prepare_sample(const struct run_directory *run, const char *from,
                                  const char *to)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    char *name = path_join("samples", path_base(to));
    enum status status = name ? file_read(from, 0, &bytes, &size) : out_of_memory(to);
    if (status == STATUS_OK)
        status = run_directory_prepare_write(run, to, name, bytes, size);
    free(bytes);
    free(name);
    return status;
}

static enum status move_sample(const struct run_directory *run, const char *from,
                               const char *to)
{
    (void)run;
    if (rename(from, to) != 0)
        return status_fail_errno("%s: can't rename the finished sample to this name", to);
    return STATUS_OK;
}

static enum status for_each_sample(const struct run_directory *run, const char *path,
                                   enum status (*visit)(const struct run_directory *run,
                                                        const char *from, const char *to))
{
    enum status status = STATUS_OK;
    DIR *directory = opendir(path);
    if (!directory)
        return status_fail_errno("%s: can't be listed", path);
    for (struct dirent *at; status == STATUS_OK && (at = readdir(directory));) {
        if (!run_is_output_name(RUN_SAMPLES, at->d_name))
            continue;
        char *from = path_join(path, at->d_name),
             *to = path_join(run->samples, at->d_name);
        status = from && to ? visit(run, from, to) : out_of_memory(path);
        free(from);
        free(to);
    }
    closedir(directory);
    return status;
}

enum status run_samples_end(const struct run_directory *run, char *path, bool publish)
{
    enum status status = publish ? for_each_sample(run, path, prepare_sample) : STATUS_OK;
    if (publish && status == STATUS_OK)
        status = run_claim_save(run->claim);
    if (publish && status == STATUS_OK)
        status = for_each_sample(run, path, move_sample);
    run_directory_remove_samples(AT_FDCWD, path);
    free(path);
    return status;
}
