/* sandbox_syscalls: the allowed system calls, as a seccomp filter. Threads that are
 * started later inherit it.
 *
 * The list has the calls that glibc, HDF5, OpenBLAS and this program use to read, compute
 * and print. Everything else fails: with ENOSYS, as on an older kernel, if the call is
 * newer than Linux 5.1, so that libraries fall back to an older call (glibc's clone3 to
 * clone, whose flags a filter can inspect); with EPERM otherwise. Only binding another
 * thread or process to cores appears to succeed, but has no effect: OpenMP binds the
 * threads that it starts, and treats a failure as fatal (see team_check).
 *
 * The filter is a linear sequence of blocks, one for each entry: load the call's number,
 * compare it, test one argument if the entry has a condition, and return "allow" or
 * continue with the next block. The kernel caches which calls are always allowed, so the
 * filter's length does not slow down frequent calls.
 */
#include "sandbox_internal.h"

#if defined(__x86_64__) || (defined(__aarch64__) && defined(__AARCH64EL__))

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__
static const unsigned architecture = AUDIT_ARCH_X86_64;
#else
static const unsigned architecture = AUDIT_ARCH_AARCH64;
#endif

enum {
    FIRST_OF_ALL_ARCHITECTURES = 424, /* same numbers on all from here on */
    SET_VMA = 0x53564d41              /* PR_SET_VMA, which glibc's malloc uses */
};

/* Flags of open() that write or create. */
static const unsigned write_flags =
    O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);

/* The flags of pthread_create. clone with any others could start a process or enter a
 * namespace. */
static const unsigned thread_flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
                                     CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                                     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

enum condition { ALWAYS, EQUAL, WITHOUT };

struct entry {
    int call;
    enum condition condition; /* on an argument's lower 32 bits: == value, or none of the
                                 value's bits set */
    unsigned argument;
    unsigned value;
};

static const struct entry entries[] = {
    /* reading, and writing to open descriptors */
    {.call = SYS_read},
    {.call = SYS_readv},
    {.call = SYS_pread64},
    {.call = SYS_preadv},
    {.call = SYS_lseek},
    {.call = SYS_write},
    {.call = SYS_writev},
    {.call = SYS_openat, WITHOUT, 2, write_flags},
    {.call = SYS_close},
    {.call = SYS_fstat},
    {.call = SYS_newfstatat},
    {.call = SYS_statx},
    {.call = SYS_statfs},
    {.call = SYS_fstatfs},
    {.call = SYS_faccessat},
    {.call = 439}, /* faccessat2 */
    {.call = SYS_readlinkat},
    {.call = SYS_getdents64},
    {.call = SYS_getcwd},
    {.call = SYS_fadvise64},
    {.call = SYS_flock},
    {.call = SYS_dup},
    {.call = SYS_dup3},
    {.call = SYS_ppoll},
    {.call = SYS_pselect6},
    {.call = SYS_fcntl, EQUAL, 1, F_DUPFD},
    {.call = SYS_fcntl, EQUAL, 1, F_DUPFD_CLOEXEC},
    {.call = SYS_fcntl, EQUAL, 1, F_GETFD},
    {.call = SYS_fcntl, EQUAL, 1, F_SETFD},
    {.call = SYS_fcntl, EQUAL, 1, F_GETFL},
    {.call = SYS_fcntl, EQUAL, 1, F_SETFL},
    {.call = SYS_fcntl, EQUAL, 1, F_GETLK},
    {.call = SYS_fcntl, EQUAL, 1, F_SETLK},
    {.call = SYS_ioctl, EQUAL, 1, TCGETS}, /* isatty */
    {.call = SYS_ioctl, EQUAL, 1, TCGETS2},
    {.call = SYS_ioctl, EQUAL, 1, TIOCGWINSZ},
    /* memory */
    {.call = SYS_brk},
    {.call = SYS_mmap},
    {.call = SYS_munmap},
    {.call = SYS_mremap},
    {.call = SYS_mprotect},
    {.call = SYS_madvise},
    /* threads of this process */
    {.call = SYS_futex},
    {.call = SYS_set_robust_list},
    {.call = SYS_membarrier},
    {.call = SYS_sched_yield},
    {.call = SYS_sched_getaffinity},
    {.call = SYS_sched_setaffinity, EQUAL, 0, 0}, /* of the calling thread */
    {.call = SYS_getcpu},
    {.call = SYS_prctl, EQUAL, 0, PR_SET_NAME},
    {.call = SYS_prctl, EQUAL, 0, SET_VMA},
    /* signals of this process: raise() and abort() */
    {.call = SYS_rt_sigaction},
    {.call = SYS_rt_sigprocmask},
    {.call = SYS_rt_sigreturn},
    {.call = SYS_sigaltstack},
    {.call = SYS_restart_syscall},
    /* system information, clocks, exit */
    {.call = SYS_getpid},
    {.call = SYS_gettid},
    {.call = SYS_getppid},
    {.call = SYS_getuid},
    {.call = SYS_geteuid},
    {.call = SYS_getgid},
    {.call = SYS_getegid},
    {.call = SYS_uname},
    {.call = SYS_sysinfo},
    {.call = SYS_getrusage},
    {.call = SYS_getrandom},
    {.call = SYS_nanosleep},
    {.call = SYS_clock_nanosleep},
    {.call = SYS_clock_gettime},
    {.call = SYS_clock_getres},
    {.call = SYS_gettimeofday},
    {.call = SYS_exit},
    {.call = SYS_exit_group},
#ifdef SYS_rseq
    {.call = SYS_rseq},
#endif
#ifdef __x86_64__ /* absent on newer architectures */
    {.call = SYS_open, WITHOUT, 1, write_flags},
    {.call = SYS_stat},
    {.call = SYS_lstat},
    {.call = SYS_access},
    {.call = SYS_readlink},
    {.call = SYS_dup2},
    {.call = SYS_poll},
    {.call = SYS_select},
    {.call = SYS_time},
    {.call = SYS_getrlimit},
    {.call = SYS_arch_prctl}, /* thread-local storage, AMX */
#endif
};
enum { ENTRIES = sizeof entries / sizeof *entries, BLOCK = 5, EXTRA = 16 };

struct filter {
    struct sock_filter code[BLOCK * (ENTRIES + 3) + EXTRA];
    unsigned short length;
};

static void add_instruction(struct filter *filter, struct sock_filter instruction)
{
    filter->code[filter->length++] = instruction;
}

static void add_load(struct filter *filter, size_t offset)
{
    add_instruction(
        filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

/* If the loaded word passes `test` (a BPF jump) against value, skips `yes` instructions,
 * else `no`. */
static void add_jump(struct filter *filter, unsigned short test, unsigned value,
                     unsigned char yes, unsigned char no)
{
    add_instruction(filter,
                    (struct sock_filter)BPF_JUMP(BPF_JMP | test | BPF_K, value, yes, no));
}

static void add_return(struct filter *filter, unsigned action)
{
    add_instruction(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static void add_entry(struct filter *filter, const struct entry *entry)
{
    const size_t arguments = offsetof(struct seccomp_data, args);
    add_load(filter, offsetof(struct seccomp_data, nr));
    if (entry->condition == ALWAYS) {
        add_jump(filter, BPF_JEQ, (unsigned)entry->call, 0, 1);
    } else {
        bool without = entry->condition == WITHOUT;
        add_jump(filter, BPF_JEQ, (unsigned)entry->call, 0, 3);
        add_load(filter,
                 arguments + entry->argument * sizeof(uint64_t)); /* little-endian */
        add_jump(filter, entry->condition == EQUAL ? BPF_JEQ : BPF_JSET, entry->value,
                 without ? 1 : 0, without ? 0 : 1);
    }
    add_return(filter, SECCOMP_RET_ALLOW);
}

void sandbox_restrict_syscalls(bool computes)
{
    const unsigned deny = SECCOMP_RET_ERRNO | EPERM,
                   not_implemented = SECCOMP_RET_ERRNO | ENOSYS,
                   no_effect = SECCOMP_RET_ERRNO | 0; /* the call returns 0 */
    const struct entry tgkill_self = {SYS_tgkill, EQUAL, 0, (unsigned)getpid()};
    const struct entry start_thread = {SYS_clone, EQUAL, 0, thread_flags};
    const struct entry prlimit_self = {SYS_prlimit64, EQUAL, 0, 0};
    const struct entry prlimit_read = {SYS_prlimit64, EQUAL, 2, 0};
    struct filter filter = {.length = 0};
    add_load(&filter, offsetof(struct seccomp_data, arch));
    add_jump(&filter, BPF_JEQ, architecture, 1, 0);
    add_return(&filter, deny);
    for (size_t i = 0; i < ENTRIES; i++)
        add_entry(&filter, &entries[i]);
    add_entry(&filter, &tgkill_self);
    add_entry(&filter, computes ? &prlimit_self : &prlimit_read);
    if (computes)
        add_entry(&filter, &start_thread);
    add_load(&filter, offsetof(struct seccomp_data, nr));
    add_jump(&filter, BPF_JEQ, SYS_sched_setaffinity, 0, 1);
    add_return(&filter, no_effect);
    add_jump(&filter, BPF_JGE, FIRST_OF_ALL_ARCHITECTURES, 0, 1);
    add_return(&filter, not_implemented);
    add_return(&filter, deny);
    const struct sock_fprog program = {filter.length, filter.code};
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program); /* without seccomp: no effect */
}

#else

void sandbox_restrict_syscalls(bool computes)
{
    (void)computes;
}

#endif
