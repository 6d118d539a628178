/* standard_streams: see the header. For a write, an empty handler has the same effect as
 * SIG_IGN, but mpirun and squeue do not inherit it.
 */
#include "standard_streams.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static bool sigpipe_ignored;

/* open() returns the lowest free descriptor. The access mode is the opposite of the
 * stream's, so that using the stream fails. */
void standard_streams_open(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0)
            (void)open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

static void do_nothing(int number)
{
    (void)number;
}

static void install_empty_handler(int number)
{
    struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_RESTART},
                     previous;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &previous) == 0 && previous.sa_handler == SIG_DFL)
        sigaction(number, &action, NULL);
}

void standard_streams_ignore_sigpipe(void)
{
    install_empty_handler(SIGPIPE);
    install_empty_handler(SIGXFSZ);
    sigpipe_ignored = true;
}

bool standard_streams_reader_closed(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    /* POLLERR for a pipe without a reader, usually POLLHUP for a socket */
    const int closed = POLLERR | POLLHUP;
    return sigpipe_ignored && poll(&output, 1, 0) == 1 && (output.revents & closed);
}
