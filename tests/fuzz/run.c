/* run: see the header. */
#include "run.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../corpus.h"
#include "base/log.h"
#include "train/run_listing.h"
#include "train/trainer.h"

enum { PIECES = 6 };

static void set_options(struct fuzz_run *run)
{
    struct options *options = &run->options;
    options_defaults(options);
    snprintf(options->data.dataset, sizeof options->data.dataset, "%s", run->dataset);
    snprintf(options->run.dir, sizeof options->run.dir, "%s", run->directory);
    options->data.shards = FUZZ_RUN_SHARDS;
    options->data.split[0] = 0.7;
    options->data.split[1] = options->data.split[2] = 0.15;
    options->model.layers = 2;
    options->model.hidden = 4;
    options->model.embedding = 3;
    options->train.batch = 4;
    options->train.microbatches = 2;
    options->train.sequence_length = 64;
    options->train.epochs = 3;
    options->run.samples = 0;
    options->run.sample_seconds = 1;
}

/* MPI installs handlers for signals that libFuzzer and the sanitizers need. */
static void start_mpi(struct fuzz_run *run)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGILL};
    enum { SIGNALS = sizeof signals / sizeof *signals };
    struct sigaction saved[SIGNALS];
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], NULL, &saved[i]);
    fuzz_require_ok(comm_open(NULL, NULL, &run->comm));
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &saved[i], NULL);
}

static void make_fifo(const struct fuzz_run *run)
{
    char *pipe = path_join(run->folder, "pipe");
    FUZZ_REQUIRE(pipe && mkfifo(pipe, 0600) == 0);
    free(pipe);
}

void fuzz_run_start(struct fuzz_run *run)
{
    *run = (struct fuzz_run){.folder = strdup(fuzz_folder()),
                             .dataset = path_join(fuzz_folder(), "dataset"),
                             .directory = path_join(fuzz_folder(), "run")};
    char *corpus = path_join(fuzz_folder(), "corpus");
    FUZZ_REQUIRE(run->folder && run->dataset && run->directory && corpus);
    FUZZ_REQUIRE(freopen("/dev/null", "w", stdout));
    start_mpi(run);
    log_mute(true);
    set_options(run);
    make_fifo(run);
    FUZZ_REQUIRE(write_corpus(corpus, 0, PIECES));
    fuzz_require_ok(make_dataset(run->comm, corpus, run->dataset, &run->options, NULL));
    fuzz_require_ok(fuzz_run_train(run, false, FUZZ_RUN_STEPS));
    char *checkpoints = path_join(run->directory, "checkpoints");
    run->checkpoint = run_find_checkpoint(checkpoints, RUN_NEWEST);
    FUZZ_REQUIRE(run->checkpoint);
    free(checkpoints);
    free(corpus);
    FUZZ_REQUIRE(chdir(run->folder) == 0); /* for relative paths in hostile files */
}

enum status fuzz_run_train(struct fuzz_run *run, bool resume, int64_t max_steps)
{
    run->options.train.max_steps = max_steps;
    const struct trainer_request request = {.options = &run->options, .resume = resume};
    return train(run->comm, &request);
}

void fuzz_run_remove_checkpoints(const struct fuzz_run *run)
{
    char *folder = path_directory(run->checkpoint);
    DIR *entries = folder ? opendir(folder) : NULL;
    FUZZ_REQUIRE(entries);
    for (struct dirent *entry; (entry = readdir(entries));) {
        char *path = path_join(folder, entry->d_name);
        FUZZ_REQUIRE(path);
        if (strcmp(path, run->checkpoint) != 0)
            unlink(path); /* fails on "." and ".." */
        free(path);
    }
    closedir(entries);
    free(folder);
}

struct fuzz_file fuzz_file_save(const char *path)
{
    struct fuzz_file file = {.path = strdup(path)};
    FUZZ_REQUIRE(file.path);
    fuzz_require_ok(file_read(path, 0, &file.bytes, &file.size));
    return file;
}

void fuzz_file_restore(const struct fuzz_file *file)
{
    fuzz_write(file->path, file->bytes, file->size);
}
