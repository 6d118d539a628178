/* For LD_PRELOAD: makes the HDF5 library behave as a crafted file could make it behave.
 * SANDBOX_FAULT selects what happens when a file is opened:
 *   null, abort, kill, spin   crashes, or loops forever
 *   memory                    raises the limit and reports whether 2 GiB can be allocated
 *   sandbox                   attempts operations that reading does not need; prints
 *                             "NAME: refused" or "NAME: allowed" for each; allowed ones
 *                             take effect in the current folder
 *   secret                    reports whether the file "secret" and others can be read
 * Used by test_sandbox.sh. HDF5's header is not included; its hid_t is int64_t here.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool has_seccomp, has_landlock;

__attribute__((constructor)) static void detect_features(void)
{
    has_seccomp = prctl(PR_GET_SECCOMP) >= 0;
    has_landlock = syscall(444 /* landlock_create_ruleset */, NULL, 0, 1) >= 1;
}

static void report(const char *name, bool allowed)
{
    fprintf(stderr, "%s: %s\n", name, allowed ? "allowed" : "refused");
}

static bool close_if_open(int descriptor)
{
    return descriptor >= 0 && close(descriptor) == 0;
}

static bool can_fork(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return child > 0 && waitpid(child, NULL, 0) == child;
}

static void *return_context(void *context)
{
    return context;
}

static bool can_start_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, return_context, NULL) == 0 &&
           pthread_join(thread, NULL) == 0;
}

static void try_files(void)
{
    report("create", close_if_open(open("planted", O_WRONLY | O_CREAT, 0600)));
    report("unnamed", close_if_open(open(".", O_TMPFILE | O_RDWR, 0600)));
    report("append", close_if_open(open("victim", O_WRONLY | O_APPEND)));
    report("empty", close_if_open(open("victim", O_RDONLY | O_TRUNC)));
    report("truncate", truncate("victim", 1) == 0);
    report("unlink", unlink("victim") == 0);
    report("rename", rename("victim", "moved") == 0);
    report("link", link("victim", "second") == 0);
    report("symlink", symlink("victim", "third") == 0);
    report("mkdir", mkdir("folder", 0700) == 0);
    report("chmod", chmod("victim", 0777) == 0);
    report("memory file", close_if_open(memfd_create("planted", 0)));
}

static void try_processes(void)
{
    report("fork", can_fork());
    report("kill", kill(getppid(), 0) == 0);
    report("ptrace", ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0);
    report("namespace", syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */) == 0);
    report("socket", close_if_open(socket(AF_INET, SOCK_STREAM, 0)));
    report("unix socket", close_if_open(socket(AF_UNIX, SOCK_STREAM, 0)));
    report("asynchronous calls", syscall(425 /* io_uring_setup */, 1, NULL) >= 0);
    report("terminal input", ioctl(STDIN_FILENO, TIOCSTI, "x") == 0);
    report("keys", syscall(SYS_keyctl, 0, -3, 1) >= 0);
    report("thread", can_start_thread());
    char word[] = "exec", text[] = "exec: allowed";
    execv("/bin/echo", (char *[]){word, text, NULL});
    report("exec", false);
}

static void try_memory(void)
{
    const size_t size = (size_t)2 << 30;
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    report("limits", setrlimit(RLIMIT_DATA, &unlimited) == 0);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    report("memory", memory != MAP_FAILED);
}

static void crash(const char *how)
{
    if (strcmp(how, "null") == 0)
        *(volatile int *)NULL = 1;
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    while (strcmp(how, "spin") == 0) {
    }
}

static void inject(const char *how)
{
    if (strcmp(how, "sandbox") == 0) {
        fprintf(stderr, "seccomp: %s\n", has_seccomp ? "there" : "not there");
        try_files();
        try_processes();
    } else if (strcmp(how, "secret") == 0) {
        fprintf(stderr, "landlock: %s\n", has_landlock ? "there" : "not there");
        report("secret", close_if_open(open("secret", O_RDONLY)));
        report("password", close_if_open(open("/etc/passwd", O_RDONLY)));
        report("library", close_if_open(open("/etc/ld.so.cache", O_RDONLY)));
    } else if (strcmp(how, "memory") == 0) {
        try_memory();
    } else {
        crash(how);
    }
}

int64_t H5Fopen(const char *name, unsigned flags, int64_t access);
int64_t H5Fopen(const char *name, unsigned flags, int64_t access)
{
    static bool injected;
    int64_t (*next)(const char *, unsigned, int64_t);
    void *symbol = dlsym(RTLD_NEXT, "H5Fopen");
    const char *how = getenv("SANDBOX_FAULT");
    memcpy(&next, &symbol, sizeof next);
    if (how && !injected) {
        injected = true;
        inject(how);
    }
    return next(name, flags, access);
}
