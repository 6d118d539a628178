/* For LD_PRELOAD: simulates a concurrent change at the moment at which a dataset is
 * replaced, by running the shell command AT_EXCHANGE. NO_EXCHANGE simulates a file system
 * that can't exchange two names. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int renameat2(int old_folder, const char *old_path, int new_folder, const char *new_path,
              unsigned flags)
{
    const char *command = getenv("AT_EXCHANGE");
    unsetenv("LD_PRELOAD"); /* the command's own renames must not be affected */
    if (command && system(command) != 0) {
        errno = EIO;
        return -1;
    }
    if (getenv("NO_EXCHANGE")) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_renameat2, old_folder, old_path, new_folder, new_path, flags);
}
