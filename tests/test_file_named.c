/* The tests of test_file.c on a file system without unnamed files, such as NFS. */
#include <fcntl.h>

#undef O_TMPFILE
#define O_TMPFILE O_DIRECTORY /* open fails as on such a file system */

#include "../src/base/file_replace.c"
#include "test_file.c"
