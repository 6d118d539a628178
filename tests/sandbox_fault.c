/* For LD_PRELOAD: makes the HDF5 library behave as a crafted file could make it behave.
 * SANDBOX_FAULT selects what happens when a file is opened:
 *   null, abort, kill, spin   crashes, or loops forever
 *   memory                    raises the limit and reports whether 2 GiB can be allocated
 *   sandbox                   attempts operations that reading does not need; prints
 *                             "NAME: refused" or "NAME: allowed" for each; allowed ones
 *                             take effect in the current folder; then, if a thread can be
 *                             started, the same in a thread: "in a thread: NAME: ..."
 *   secret                    reports whether the file "secret" and others can be read,
 *                             in the same way
 * Used by test_sandbox.sh. HDF5's header is not included; its hid_t is int64_t here.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
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

static const char *prefix = "";

static void report(const char *name, bool allowed)
{
    fprintf(stderr, "%s%s: %s\n", prefix, name, allowed ? "allowed" : "refused");
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

static bool can_spawn(void)
{
    char word[] = "true";
    pid_t child;
    return posix_spawn(&child, "/bin/true", NULL, NULL, (char *[]){word, NULL}, NULL) ==
               0 &&
           waitpid(child, NULL, 0) == child;
}

static int return_zero(void *context)
{
    (void)context;
    return 0;
}

/* A process or a thread with these flags of clone(). */
static bool can_clone(int flags)
{
    static char stack[1 << 16] __attribute__((aligned(16)));
    pid_t child = clone(return_zero, stack + sizeof stack, flags, NULL);
    if (child > 0 && !(flags & CLONE_THREAD))
        waitpid(child, NULL, __WALL);
    usleep(child > 0 ? 10000 : 0); /* a thread uses the stack */
    return child > 0;
}

/* A filter can't see the flags of clone3: libraries must fall back to clone. */
static bool has_clone3(void)
{
    uint64_t arguments[8] = {[4] = SIGCHLD};
    long child = syscall(435, arguments, sizeof arguments);
    if (child == 0)
        _exit(0);
    return child > 0 || errno != ENOSYS;
}

static void *return_context(void *context)
{
    return context;
}

static bool can_start_thread(void *(*body)(void *), void *context)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, body, context) == 0 &&
           pthread_join(thread, NULL) == 0;
}

/* Another process's threads must stay where they are. */
static bool can_bind(pid_t process)
{
    cpu_set_t before, one, after;
    if (sched_getaffinity(process, sizeof before, &before) != 0)
        return false;
    int last = CPU_SETSIZE - 1;
    while (last > 0 && !CPU_ISSET((size_t)last, &before))
        last--;
    CPU_ZERO(&one);
    CPU_SET((size_t)last, &one);
    sched_setaffinity(process, sizeof one, &one);
    sched_getaffinity(process, sizeof after, &after);
    sched_setaffinity(process, sizeof before, &before);
    return !CPU_EQUAL(&before, &after);
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

static void try_clones(void)
{
    const int share = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND;
    const int thread = share | CLONE_THREAD | CLONE_SYSVSEM;
    report("spawn", can_spawn());
    report("clone of a process", can_clone(SIGCHLD));
    report("clone that shares memory", can_clone(share | SIGCHLD));
    report("clone as vfork", can_clone(CLONE_VM | CLONE_VFORK | SIGCHLD));
    report("clone in a namespace", can_clone(CLONE_NEWUSER | SIGCHLD));
    report("thread in a namespace", can_clone((thread & ~CLONE_FS) | CLONE_NEWUTS));
    report("clone3", has_clone3());
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
    report("bind", can_bind(getppid()));
    try_clones();
    report("thread", can_start_thread(return_context, NULL));
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

static void *try_everything(void *context)
{
    try_files();
    try_processes();
    return context;
}

static void *try_secrets(void *context)
{
    report("secret", close_if_open(open("secret", O_RDONLY)));
    report("password", close_if_open(open("/etc/passwd", O_RDONLY)));
    report("library", close_if_open(open("/etc/ld.so.cache", O_RDONLY)));
    return context;
}

static void here_and_in_a_thread(void *(*attempts)(void *))
{
    attempts(NULL);
    prefix = "in a thread: ";
    can_start_thread(attempts, NULL);
    prefix = "";
}

static void inject(const char *how)
{
    if (strcmp(how, "sandbox") == 0) {
        fprintf(stderr, "seccomp: %s\n", has_seccomp ? "there" : "not there");
        here_and_in_a_thread(try_everything);
    } else if (strcmp(how, "secret") == 0) {
        fprintf(stderr, "landlock: %s\n", has_landlock ? "there" : "not there");
        here_and_in_a_thread(try_secrets);
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
