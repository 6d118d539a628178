/* cli_output: checks outputs before any work is done, and stdout afterwards. */
#include <stdio.h>

#include "cli.h"
#include "base/file.h"
#include "base/standard_streams.h"
#include "midi/midi.h"

static bool stdout_is_reserved;

enum status cli_check_output(const char *path, bool creates_folders)
{
    struct file_output output;
    if (!path)
        return STATUS_OK;
    enum status status = file_check_output(path, &output);
    if (status == STATUS_OK && output.is_stdout) {
        stdout_is_reserved = true;
        status = file_reserve_stdout();
    }
    if (status == STATUS_OK && output.missing_directory && !creates_folders) {
        int length = (int)(path_base(path) - path - 1);
        status =
            status_fail(STATUS_MISUSE, "%s: there is no folder %.*s", path, length, path);
    }
    /* only rank 0 writes it, possibly to a local disk */
    return status == STATUS_OK || !cli_is_first_process() ? STATUS_OK : STATUS_MISUSE;
}

enum status cli_check_inputs(const char *path, bool is_midi, const char *const *inputs,
                             size_t count)
{
    if (!path || !cli_is_first_process())
        return STATUS_OK;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = file_check_not_input(path, inputs[i]);
    if (status == STATUS_OK && !is_midi)
        status = file_check_not_midi(path);
    if (status == STATUS_OK && !is_midi && midi_has_extension(path))
        status =
            status_fail(STATUS_MISUSE,
                        "%s: the name of a MIDI file, but this output is not one", path);
    return status;
}

enum status cli_check_stdout(void)
{
    struct file_output output;
    return cli_is_first_process() ? file_check_output("-", &output) : STATUS_OK;
}

enum status cli_flush_output(void)
{
    bool failed = fflush(stdout) != 0 || ferror(stdout);
    if (failed && !stdout_is_reserved && !standard_streams_reader_closed())
        return status_fail_errno("standard output: can't write");
    return STATUS_OK;
}
