/* The tests of test_file.c where the file system has no files without a name, as NFS. */
#include <fcntl.h>

#undef O_TMPFILE
#define O_TMPFILE O_DIRECTORY /* fails as it does there */

#include "../src/base/file_replace.c"
#include "test_file.c"
