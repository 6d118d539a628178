/* For LD_PRELOAD: a file system without symbolic links. With NO_SYMLINKS=copy it reports
 * success and leaves a small file, as some network shares do. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refuse(const char *target, const char *path)
{
    const char *how = getenv("NO_SYMLINKS");
    if (!how || strcmp(how, "copy") != 0) {
        errno = EPERM;
        return -1;
    }
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (file < 0 || write(file, target, strlen(target)) < 0)
        return -1;
    return close(file);
}

int symlink(const char *target, const char *path)
{
    return refuse(target, path);
}
