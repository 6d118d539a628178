/* kernels: selects the instruction set at run time. Compiled for any processor. With
 * TUTTI_NO_SIMD (for a test program) no processor has SIMD kernels.
 */
#include "kernels.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kernel_sets.h"

/* ---- the sets: NULL where the processor, the build or the OS lacks one ---- */

static const struct kernels *find_portable(void)
{
    return &kernels_portable;
}

#if defined(__x86_64__) && !defined(TUTTI_DOUBLE) && !defined(TUTTI_NO_SIMD)
static const struct kernels *find_avx2(void)
{
    __builtin_cpu_init();
    bool supported = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return supported ? &kernels_avx2 : NULL;
}

static const struct kernels *find_avx512(void)
{
    __builtin_cpu_init();
    bool supported =
        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
    return supported ? &kernels_avx512 : NULL;
}
#else
static const struct kernels *find_avx2(void)
{
    return NULL;
}

static const struct kernels *find_avx512(void)
{
    return NULL;
}
#endif

#if defined(__x86_64__) && defined(__linux__) && !defined(TUTTI_DOUBLE) &&               \
    !defined(TUTTI_NO_SIMD)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* True if the processor has the instructions and the OS grants the tile registers. */
static bool request_amx(void)
{
    enum {
        REQUEST_XCOMP_PERMISSION = 0x1023,
        XTILEDATA = 18,
        AMX_BF16 = 1 << 22,
        AMX_TILE = 1 << 24
    };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    return (d & AMX_BF16) && (d & AMX_TILE) &&
           syscall(SYS_arch_prctl, REQUEST_XCOMP_PERMISSION, XTILEDATA) == 0;
}

static struct kernels amx; /* name NULL: not available */

static void init_amx(void)
{
    if (!find_avx512() || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bf16") ||
        !request_amx())
        return;
    amx = kernels_avx512;
    kernels_add_amx(&amx);
}

static const struct kernels *find_amx(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_amx);
    return amx.name ? &amx : NULL;
}
#else
static const struct kernels *find_amx(void)
{
    return NULL;
}
#endif

static const struct kernels *find_neon(void)
{
#if defined(__AARCH64EL__) && !defined(TUTTI_DOUBLE) && !defined(TUTTI_NO_SIMD)
    return &kernels_neon; /* every aarch64 processor has it */
#else
    return NULL;
#endif
}

/* ---- selection ---- */

static const struct {
    const char *name;
    const struct kernels *(*find)(void);
    bool bf16_only; /* differs from the next set only in the members for bfloat16 */
} sets[] = {
    {"amx", find_amx, true},
    {"avx512", find_avx512, false},
    {"avx2", find_avx2, false},
    {"neon", find_neon, false},
    {"portable", find_portable, false},
};

const int kernels_count = sizeof sets / sizeof *sets;

const char *kernels_name(int set)
{
    return sets[set].name;
}

const struct kernels *kernels_find(const char *name)
{
    for (int set = 0; set < kernels_count; set++)
        if (strcmp(sets[set].name, name) == 0)
            return sets[set].find();
    return NULL;
}

static void warn_unavailable(const char *name)
{
    char names[128] = "";
    for (int set = 0; set < kernels_count; set++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", set ? ", " : "",
                 sets[set].name);
    }
    log_warn("TUTTI_KERNELS = %s: this processor or build has no such kernels; the names "
             "are %s",
             name, names);
}

/* The set named by TUTTI_KERNELS, or else the fastest available one. */
static const struct kernels *select_set(bool bf16)
{
    const char *forced = getenv("TUTTI_KERNELS");
    const struct kernels *found = forced ? kernels_find(forced) : NULL;
    if (forced && !found)
        warn_unavailable(forced);
    for (int set = 0; !found && set < kernels_count; set++)
        if (bf16 || !sets[set].bf16_only)
            found = sets[set].find();
    return found;
}

typedef const struct kernels *_Atomic selection;

/* The selected set; selects it at the first call, which may come from any thread. */
static const struct kernels *select_once(selection *selected, bool bf16)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (!atomic_load(selected))
        atomic_store(selected, select_set(bf16));
    pthread_mutex_unlock(&lock);
    return atomic_load(selected);
}

const struct kernels *kernels(void)
{
    static selection selected;
    const struct kernels *set = atomic_load_explicit(&selected, memory_order_acquire);
    return set ? set : select_once(&selected, false);
}

const struct kernels *kernels_bf16(void)
{
    static selection selected;
    const struct kernels *set = atomic_load_explicit(&selected, memory_order_acquire);
    return set ? set : select_once(&selected, true);
}

enum kernels_origin kernels_origin(void)
{
    if (getenv("TUTTI_KERNELS"))
        return KERNELS_FORCED;
    return kernels() == &kernels_portable ? KERNELS_PORTABLE : KERNELS_SIMD;
}
