/* file: outputs of every kind (files, links, devices, pipes, descriptors), which leave no
 * other files behind; the home folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "remove_tree.h"
#include "base/file.h"

static char folder[64];

/* Each test runs in a working directory of its own. */
static int enter(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/tutti-file-XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    return chdir("/") == 0 && file_remove_tree(folder) == STATUS_OK ? 0 : -1;
}

/* All names in the working directory, sorted: "a b link@ ". */
static const char *names(void)
{
    static char text[1024];
    struct dirent **entries;
    text[0] = '\0';
    int count = scandir(".", &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0)
            strcat(strcat(text, entries[i]->d_name), " ");
        free(entries[i]);
    }
    free(entries);
    return text;
}

static void holds(const char *path, const char *expected)
{
    uint8_t *bytes;
    size_t size;
    assert_int_equal(file_read(path, 0, &bytes, &size), STATUS_OK);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(bytes, expected, size);
    free(bytes);
}

static void put(const char *path, const char *text)
{
    enum status status = file_write(path, text, strlen(text));
    if (status != STATUS_OK)
        print_message("%s\n", status_message());
    assert_int_equal(status, STATUS_OK);
}

static void refuses(const char *path, const char *reason)
{
    struct file_output output;
    assert_int_equal(file_check_output(path, &output), STATUS_FAILED);
    assert_non_null(strstr(status_message(), reason));
    assert_int_equal(file_write(path, "x", 1), STATUS_FAILED);
    assert_non_null(strstr(status_message(), reason));
}

static ino_t inode(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

static mode_t kind(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_mode & S_IFMT : 0;
}

/* ---- replacements of two functions of the C library ---- */

static bool no_random_numbers;
static int refused_names; /* number of linkat calls still to fail */
static char last_name[300];

ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    if (no_random_numbers) {
        errno = ENOSYS;
        return -1;
    }
    return syscall(SYS_getrandom, bytes, size, flags);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    if (refused_names == 0)
        return (int)syscall(SYS_linkat, from, old, to, new, flags);
    refused_names--;
    assert_string_not_equal(last_name, new);
    snprintf(last_name, sizeof last_name, "%s", new);
    errno = EEXIST;
    return -1;
}

/* ---- regular files ---- */

static void replaces_file_atomically(void **state)
{
    (void)state;
    struct stat before, after;
    mode_t mask = umask(027);
    put("a", "first");
    assert_int_equal(stat("a", &before), 0);
    assert_int_equal(before.st_mode & 0777, 0640);
    int old = open("a", O_RDONLY);
    put("a", "second");
    umask(mask);
    assert_int_equal(stat("a", &after), 0);
    assert_true(before.st_ino != after.st_ino);
    char text[8] = "";
    assert_int_equal(read(old, text, sizeof text), 5); /* still the old file */
    close(old);
    holds("a", "second");
    put("empty", "");
    holds("empty", "");
    assert_string_equal(names(), "a empty ");
}

static void failure_keeps_old_file(void **state)
{
    (void)state;
    static char large[100000];
    put("a", "first");
    struct rlimit before, tight;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    enum status status = file_write("a", large, sizeof large);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, STATUS_FAILED);
    assert_non_null(strstr(status_message(), "a: can't write: File too large"));
    holds("a", "first");
    assert_string_equal(names(), "a ");
}

static mode_t mode(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void replacing_keeps_mode(void **state)
{
    (void)state;
    mode_t mask = umask(022);
    put("a", "first");
    assert_int_equal(mode("a"), 0644);
    static const mode_t modes[] = {0600, 0664, 0440, 0755};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod("a", modes[i]), 0);
        put("a", "next");
        assert_int_equal(mode("a"), modes[i]);
    }
    umask(mask);
    holds("a", "next");
    assert_string_equal(names(), "a ");
}

/* Runs `act` in a child process as an unprivileged user, as root can write everywhere;
 * returns its result. */
static int as_nobody(int (*act)(void))
{
    int how = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(setgid(65534) == 0 && setuid(65534) == 0 ? act() : 100);
    assert_int_equal(waitpid(child, &how, 0), child);
    return WIFEXITED(how) ? WEXITSTATUS(how) : 101;
}

static int check(const char *path)
{
    struct file_output output;
    return file_check_output(path, &output) != STATUS_OK;
}

static int write_a_closed_folder(void)
{
    int wrong = check("open") || file_write("open", "new", 3) != STATUS_OK;
    wrong |= !check("shut") || file_write("shut", "new", 3) != STATUS_FAILED;
    wrong |= !check("none") || file_write("none", "new", 3) != STATUS_FAILED;
    wrong |= !strstr(status_message(), "none: can't write: Permission denied");
    return wrong | !check("below/none");
}

static int write_a_shared_folder(void)
{
    int wrong = check("open") || file_write("open", "new", 3) != STATUS_OK;
    wrong |= !check("shut") || file_write("shut", "new", 3) != STATUS_FAILED;
    wrong |= check("none") || file_write("none", "new", 3) != STATUS_OK;
    return wrong | check("below/none");
}

/* A writable file in a folder in which it can't be replaced. */
static void overwrites_where_replacing_is_denied(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip();
    static const struct {
        mode_t folder;
        int (*act)(void);
    } cases[] = {{0755, write_a_closed_folder}, {01777, write_a_shared_folder}};
    for (int i = 0; i < 2; i++) {
        put("open", "the old one");
        put("shut", "old");
        assert_int_equal(chmod("open", 0666), 0);
        assert_int_equal(chmod(".", cases[i].folder), 0);
        ino_t before = inode("open");
        assert_int_equal(as_nobody(cases[i].act), 0);
        holds("open", "new");
        holds("shut", "old");
        assert_int_equal(inode("open"), before);
        unlink("none");
        assert_string_equal(names(), "open shut ");
    }
}

static void overwrites_mount_point(void **state)
{
    (void)state;
    put("outside", "the old one");
    put("inside", "");
    if (mount("outside", "inside", NULL, MS_BIND, NULL) != 0)
        skip(); /* not root, or not permitted */
    int wrong = check("inside") || file_write("inside", "new", 3) != STATUS_OK;
    assert_int_equal(umount("inside"), 0);
    assert_int_equal(wrong, 0);
    holds("outside", "new");
    assert_string_equal(names(), "inside outside ");
}

static void check_reports_unwritable_outputs(void **state)
{
    (void)state;
    struct file_output output;
    put("file", "");
    assert_int_equal(mkdir("there", 0777), 0);
    assert_int_equal(file_check_output("there/a", &output), STATUS_OK);
    assert_false(output.missing_directory);
    assert_int_equal(file_check_output("a/b/c", &output), STATUS_OK);
    assert_true(output.is_regular && output.missing_directory);
    refuses("file/a", "file/a: can't write: Not a directory");
    assert_int_equal(symlink("gone/a", "link"), 0);
    refuses("link", "link (a link to gone/a): can't write: No such file or directory");
    fflush(stdout);
    int saved = dup(STDOUT_FILENO), closed = open("/dev/null", O_RDONLY);
    dup2(closed, STDOUT_FILENO);
    int failed = check("-");
    bool is_told = strstr(status_message(), "standard output: closed");
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(closed);
    assert_true(failed && is_told);
    assert_string_equal(names(), "file link there ");
}

static void temporary_names_differ_without_getrandom(void **state)
{
    (void)state;
    no_random_numbers = true;
    refused_names = 20;
    last_name[0] = '\0';
    enum status status = file_write("a", "x", 1);
    no_random_numbers = false;
    assert_int_equal(status, STATUS_OK);
    if (refused_names == 20)
        skip(); /* a file system without unnamed files (O_TMPFILE) */
    assert_int_equal(refused_names, 0);
    assert_string_equal(names(), "a ");
}

static void long_names_are_truncated(void **state)
{
    (void)state;
    char name[256];
    for (int i = 0; i < 255; i += 3)
        memcpy(name + i, "\xE2\x99\xAA", 3); /* a musical note, in UTF-8 */
    name[255] = '\0';
    put(name, "long");
    holds(name, "long");
}

static void rejects_paths_without_file_name(void **state)
{
    (void)state;
    assert_int_equal(mkdir("there", 0777), 0);
    refuses("there", "there: a directory");
    refuses("there/", "there/: a directory");
    refuses("z/", "z/: a directory");
    refuses("z/.", "z/.: a directory");
    refuses("z/..", "z/..: a directory");
    refuses(".", ".: a directory");
    refuses("", ": a directory");
    assert_int_equal(symlink("z/", "link"), 0);
    refuses("link", "link (a link to z/): a directory");
    assert_string_equal(names(), "link there ");
}

/* Concurrent writers: each succeeds, the file is one of theirs, and no other file
 * remains. */
static void concurrent_writers_are_atomic(void **state)
{
    (void)state;
    enum { WRITERS = 8, ROUNDS = 50, SIZE = 20000 };
    static char bytes[SIZE];
    for (int writer = 0; writer < WRITERS; writer++) {
        if (fork() != 0)
            continue;
        int failures = 0;
        memset(bytes, 'a' + writer, SIZE);
        for (int i = 0; i < ROUNDS; i++)
            failures += file_write("shared", bytes, SIZE) != STATUS_OK;
        _exit(failures);
    }
    int how;
    while (wait(&how) > 0)
        assert_int_equal(how, 0);
    uint8_t *read;
    size_t size;
    assert_int_equal(file_read("shared", 0, &read, &size), STATUS_OK);
    assert_int_equal(size, SIZE);
    for (size_t i = 1; i < size; i++)
        assert_int_equal(read[i], read[0]);
    free(read);
    assert_string_equal(names(), "shared ");
}

/* A kill at any moment: the file is complete, and a leftover has a recognisable name. */
static void killed_writer_leaves_recognisable_names(void **state)
{
    (void)state;
    static char bytes[300000];
    put("a", "first");
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        if (child == 0)
            for (;;)
                file_write("a", bytes, sizeof bytes);
        usleep((useconds_t)(i * 97 % 2000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    struct dirent **entries;
    int count = scandir(".", &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        bool own =
            strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "a") == 0;
        assert_true(own != file_is_temporary_name(name));
        free(entries[i]);
    }
    free(entries);
}

static void recognises_temporary_names(void **state)
{
    (void)state;
    assert_false(file_is_temporary_name(".model.h5.partial"));
    assert_true(file_is_temporary_name(".a.0123456789ab.partial"));
    assert_true(file_is_temporary_name(".latest.0123456789ab.partial"));
    assert_false(file_is_temporary_name(".movie.partial"));
    assert_false(file_is_temporary_name("a.partial"));
    assert_false(file_is_temporary_name(".partial"));
    assert_false(file_is_temporary_name("..partial"));
    assert_false(file_is_temporary_name(".a.partial.h5"));
    assert_false(file_is_temporary_name("epoch-0001.h5"));
}

static void parses_final_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *final; /* NULL: not a temporary name */
        bool is_random;
    } cases[] = {
        {".model.h5.partial", "model.h5", false},
        {".a.0123456789ab.partial", "a", true},
        {".a.0123456789aB.partial", "a.0123456789aB", false},
        {".a.0123456789abc.partial", "a.0123456789abc", false},
        {"..0123456789ab.partial", ".0123456789ab", false},
        {".0123456789ab.partial", "0123456789ab", false},
        {".x.partial", "x", false},
        {"..partial", NULL, false},
        {".partial", NULL, false},
        {"a.partial", NULL, false},
        {".a.partial.h5", NULL, false},
        {"", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t length = strlen(cases[i].name);
        bool is_random = false;
        const char *final = file_final_name(cases[i].name, &length, &is_random);
        assert_int_equal(final != NULL, cases[i].final != NULL);
        if (!final) {
            assert_int_equal(length, strlen(cases[i].name));
            continue;
        }
        assert_int_equal(length, strlen(cases[i].final));
        assert_memory_equal(final, cases[i].final, length);
        assert_int_equal(is_random, cases[i].is_random);
    }
}

/* ---- links ---- */

static void links_are_followed(void **state)
{
    (void)state;
    struct file_output output;
    assert_int_equal(mkdir("there", 0777), 0);
    put("there/a", "first");
    assert_int_equal(symlink("there/a", "link"), 0);
    assert_int_equal(symlink("link", "chain"), 0);
    assert_int_equal(symlink("../new", "there/dangling"), 0);
    put("chain", "second");
    holds("there/a", "second");
    assert_int_equal(kind("chain"), S_IFLNK);
    assert_int_equal(kind("link"), S_IFLNK);
    put("there/dangling", "third");
    holds("new", "third");
    assert_int_equal(kind("there/dangling"), S_IFLNK);
    assert_int_equal(file_check_output("chain", &output), STATUS_OK);
    assert_true(output.is_regular && !output.is_stdout);
    assert_string_equal(names(), "chain link new there ");
}

/* Names that the program has chosen itself. */
static void write_nofollow_replaces_links(void **state)
{
    (void)state;
    put("victim", "precious");
    assert_int_equal(symlink("victim", "link"), 0);
    assert_int_equal(symlink("gone", "nowhere"), 0);
    assert_int_equal(mkfifo("pipe", 0666), 0);
    assert_int_equal(mkdir("there", 0777), 0);
    assert_int_equal(file_write_nofollow("link", "x", 1), STATUS_FAILED);
    assert_string_equal(status_message(), "link: a link (expected a file, or nothing)");
    assert_int_equal(file_write_nofollow("nowhere", "x", 1), STATUS_FAILED);
    assert_int_equal(file_write_nofollow("pipe", "x", 1), STATUS_FAILED);
    assert_int_equal(file_write_nofollow("there", "x", 1), STATUS_FAILED);
    holds("victim", "precious");
    assert_int_equal(chmod("victim", 0640), 0);
    assert_int_equal(file_write_nofollow("victim", "new", 3), STATUS_OK);
    assert_int_equal(file_write_nofollow("other", "new", 3), STATUS_OK);
    holds("victim", "new");
    holds("other", "new");
    struct stat st;
    assert_int_equal(stat("victim", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_string_equal(names(), "link nowhere other pipe there victim ");
}

/* Fails after writing half of the content. */
static int write_halves(int descriptor, void *context)
{
    const int *failure = context;
    if (write(descriptor, "half", 4) != 4)
        return -1;
    errno = *failure;
    return *failure || write(descriptor, " and half", 9) != 9 ? -1 : 0;
}

static void write_nofollow_accepts_a_callback(void **state)
{
    (void)state;
    int failure = EIO;
    put("bits", "old");
    assert_int_equal(chmod("bits", 0640), 0);
    assert_int_equal(file_write_nofollow_callback("bits", write_halves, &failure),
                     STATUS_FAILED);
    assert_non_null(strstr(status_message(), strerror(EIO)));
    holds("bits", "old");
    failure = 0;
    assert_int_equal(file_write_nofollow_callback("bits", write_halves, &failure),
                     STATUS_OK);
    holds("bits", "half and half");
    struct stat st;
    assert_int_equal(stat("bits", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(symlink("bits", "to bits"), 0);
    assert_int_equal(file_write_nofollow_callback("to bits", write_halves, &failure),
                     STATUS_FAILED);
}

static void rejects_unresolvable_links(void **state)
{
    (void)state;
    assert_int_equal(symlink("gone/a", "nowhere"), 0);
    assert_int_equal(symlink("b", "a"), 0);
    assert_int_equal(symlink("a", "b"), 0);
    assert_int_equal(file_write("nowhere", "x", 1), STATUS_FAILED);
    assert_string_equal(
        status_message(),
        "nowhere (a link to gone/a): can't write: No such file or directory");
    refuses("a", "a: can't write: Too many levels of symbolic links");
    assert_string_equal(names(), "a b nowhere ");
}

static void link_is_replaced_atomically(void **state)
{
    (void)state;
    char target[16] = "";
    assert_int_equal(file_symlink("one", "latest"), STATUS_OK);
    assert_int_equal(file_symlink("two", "latest"), STATUS_OK);
    assert_int_equal(readlink("latest", target, sizeof target - 1), 3);
    assert_string_equal(target, "two");
    assert_int_equal(mkdir("best", 0777), 0);
    assert_int_equal(file_symlink("two", "best"), STATUS_FAILED);
    assert_string_equal(names(), "best latest ");
}

/* ---- devices, pipes, descriptors ---- */

/* Starts a child that copies everything from the pipe to the file `copy`. */
static pid_t read_pipe(const char *path, const char *copy)
{
    pid_t child = fork();
    if (child == 0) {
        char text[64];
        int from = open(path, O_RDONLY), to = open(copy, O_WRONLY | O_CREAT, 0666);
        ssize_t got;
        while ((got = read(from, text, sizeof text)) > 0)
            if (write(to, text, (size_t)got) != got)
                _exit(1);
        _exit(0);
    }
    return child;
}

static void writes_to_fifo(void **state)
{
    (void)state;
    struct file_output output;
    assert_int_equal(mkfifo("pipe", 0666), 0);
    assert_int_equal(symlink("pipe", "link"), 0);
    assert_int_equal(file_check_output("link", &output), STATUS_OK);
    assert_false(output.is_regular || output.is_stdout);
    pid_t reader = read_pipe("pipe", "copy");
    put("link", "through the pipe");
    int how;
    assert_int_equal(waitpid(reader, &how, 0), reader);
    assert_int_equal(how, 0);
    holds("copy", "through the pipe");
    assert_int_equal(kind("pipe"), S_IFIFO);
    assert_string_equal(names(), "copy link pipe ");
}

static int asked;

static bool is_cancelled(void)
{
    return ++asked == 3;
}

static void fifo_without_reader_can_be_cancelled(void **state)
{
    (void)state;
    int descriptor = -1;
    bool is_regular = true;
    asked = 0;
    assert_int_equal(mkfifo("pipe", 0666), 0);
    assert_int_equal(file_open_output("pipe", is_cancelled, &descriptor, &is_regular),
                     STATUS_FAILED);
    assert_int_equal(asked, 3);
    assert_non_null(strstr(status_message(), "pipe: no reader"));
    pid_t reader = read_pipe("pipe", "copy");
    asked = -1000000;
    assert_int_equal(file_open_output("pipe", is_cancelled, &descriptor, &is_regular),
                     STATUS_OK);
    assert_false(is_regular);
    assert_int_equal(fcntl(descriptor, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(write(descriptor, "late", 4), 4);
    close(descriptor);
    waitpid(reader, NULL, 0);
    holds("copy", "late");
}

static void device_is_not_replaced(void **state)
{
    (void)state;
    if (mknod("null", S_IFCHR | 0666, makedev(1, 3)) != 0 ||
        mknod("full", S_IFCHR | 0666, makedev(1, 7)) != 0)
        skip(); /* not root */
    int opened = open("null", O_WRONLY);
    if (opened < 0)
        skip(); /* a file system without devices */
    close(opened);
    put("null", "nothing");
    assert_int_equal(kind("null"), S_IFCHR);
    assert_int_equal(file_write("full", "x", 1), STATUS_FAILED);
    assert_string_equal(status_message(), "full: can't write: No space left on device");
    assert_int_equal(kind("full"), S_IFCHR);
    assert_string_equal(names(), "full null ");
}

static void rejects_socket(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    refuses("socket", "socket: a socket (expected a file, a device or a pipe)");
    assert_int_equal(kind("socket"), S_IFSOCK);
    close(listener);
}

/* The output begins at the descriptor's offset; the file is not replaced. */
static void descriptor_is_written_at_its_offset(void **state)
{
    (void)state;
    char path[64];
    int descriptor = open("a", O_RDWR | O_CREAT, 0666);
    assert_int_equal(write(descriptor, "before ", 7), 7);
    snprintf(path, sizeof path, "/dev/fd/%d", descriptor);
    put(path, "now ");
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), descriptor);
    assert_int_equal(symlink(path, "link"), 0);
    put("link", "later ");
    assert_int_equal(write(descriptor, "after", 5), 5);
    close(descriptor);
    holds("a", "before now later after");
    assert_int_equal(file_write(path, "x", 1), STATUS_FAILED);
}

static void reserved_stdout_receives_only_data(void **state)
{
    (void)state;
    struct file_output output;
    assert_int_equal(symlink("/proc/self/fd/1", "stdout"), 0);
    assert_int_equal(file_check_output("stdout", &output), STATUS_OK);
    assert_true(output.is_stdout && !output.is_regular);
    assert_int_equal(file_check_output("-", &output), STATUS_OK);
    assert_true(output.is_stdout && !output.is_regular);
    assert_int_equal(file_check_output("a", &output), STATUS_OK);
    assert_true(!output.is_stdout && output.is_regular);
    pid_t child = fork();
    if (child == 0) {
        dup2(open("out", O_WRONLY | O_CREAT, 0666), STDOUT_FILENO);
        dup2(open("err", O_WRONLY | O_CREAT, 0666), STDERR_FILENO);
        int failed = file_reserve_stdout() != STATUS_OK;
        printf("words");
        failed |= file_write("-", "data ", 5) != STATUS_OK;
        failed |= file_reserve_stdout() != STATUS_OK;
        failed |= file_write("stdout", "more", 4) != STATUS_OK;
        fflush(stdout);
        _exit(failed);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    holds("out", "data more");
    holds("err", "words");
}

/* As under inetd, or with a parent that reads through a socket pair. */
static void stdout_may_be_a_socket(void **state)
{
    (void)state;
    int ends[2], how;
    char text[8] = "";
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        _exit(file_write("/dev/stdout", "data", 4) != STATUS_OK);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    assert_int_equal(read(ends[0], text, sizeof text), 4);
    assert_string_equal(text, "data");
    close(ends[0]);
    close(ends[1]);
}

/* ---- sizes ---- */

/* Makes a file of `stored` bytes and a hole up to `size`. */
static uint64_t sized(size_t stored, off_t size)
{
    char *bytes = calloc(stored + 1, 1);
    FILE *file = tmpfile();
    assert_true(bytes && file);
    memset(bytes, 'x', stored);
    assert_int_equal(fwrite(bytes, 1, stored, file), stored);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(ftruncate(fileno(file), size), 0);
    uint64_t found = file_stored_size(fileno(file), (uint64_t)size);
    bool holes = lseek(fileno(file), 0, SEEK_HOLE) < size;
    fclose(file);
    free(bytes);
    return holes || (off_t)stored == size ? found : 0;
}

static void stored_size_excludes_holes(void **state)
{
    (void)state;
    const uint64_t mb = 1 << 20;
    if (sized(0, 1 << 30) == 0) {
        print_message("skipped: this file system has no holes\n");
        skip();
    }
    assert_int_equal(sized(0, (off_t)1 << 42), 16 * mb);
    assert_int_equal(sized(mb, (off_t)1 << 42), 24 * mb);
    assert_int_equal(sized(mb, 20 * (off_t)mb), 20 * mb);
    assert_int_equal(sized(3 * mb, 3 * (off_t)mb), 3 * mb);
}

/* ---- the home folder ---- */

static void expands(const char *path, const char *expected)
{
    char *expanded;
    assert_int_equal(path_expand_home(path, &expanded), STATUS_OK);
    assert_string_equal(expanded, expected);
    free(expanded);
}

static void expands_home_directory(void **state)
{
    (void)state;
    char *expanded;
    setenv("HOME", "/home/me", 1);
    expands("~", "/home/me");
    expands("~/", "/home/me");
    expands("~/runs/first", "/home/me/runs/first");
    expands("a~b/~", "a~b/~");
    expands("./~", "./~");
    expands("", "");
    setenv("HOME", "/", 1);
    expands("~/x", "/x");
    assert_int_equal(path_expand_home("~you/x", &expanded), STATUS_MISUSE);
    assert_string_equal(status_message(), "only ~/ is expanded: write the folder of ~you "
                                          "out, or ./~you for a file of this name");
    setenv("HOME", "me", 1);
    assert_int_equal(path_expand_home("~/x", &expanded), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "no absolute path"));
    unsetenv("HOME");
    assert_int_equal(path_expand_home("~", &expanded), STATUS_MISUSE);
    assert_non_null(strstr(status_message(), "HOME is not set"));
    expands("x", "x");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replaces_file_atomically),
        TEST(failure_keeps_old_file),
        TEST(replacing_keeps_mode),
        TEST(overwrites_where_replacing_is_denied),
        TEST(overwrites_mount_point),
        TEST(check_reports_unwritable_outputs),
        TEST(temporary_names_differ_without_getrandom),
        TEST(long_names_are_truncated),
        TEST(rejects_paths_without_file_name),
        TEST(concurrent_writers_are_atomic),
        TEST(killed_writer_leaves_recognisable_names),
        TEST(recognises_temporary_names),
        TEST(parses_final_names),
        TEST(links_are_followed),
        TEST(write_nofollow_replaces_links),
        TEST(write_nofollow_accepts_a_callback),
        TEST(rejects_unresolvable_links),
        TEST(link_is_replaced_atomically),
        TEST(writes_to_fifo),
        TEST(fifo_without_reader_can_be_cancelled),
        TEST(device_is_not_replaced),
        TEST(rejects_socket),
        TEST(descriptor_is_written_at_its_offset),
        TEST(reserved_stdout_receives_only_data),
        TEST(stdout_may_be_a_socket),
        TEST(stored_size_excludes_holes),
        TEST(expands_home_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
