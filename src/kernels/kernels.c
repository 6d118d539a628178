/* kernels: the choice of an instruction set at run time. Compiled for any processor. */
#include "kernels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "variants.h"

#if defined(__x86_64__) && defined(__linux__) && !defined(TUTTI_DOUBLE)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The processor has the instructions, and the system grants the registers. */
static int amx_is_there(void)
{
    enum { REQUEST = 0x1023, MATRIX_REGISTERS = 18, BFLOAT16 = 1 << 22, TILES = 1 << 24 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    return (d & BFLOAT16) && (d & TILES) &&
           syscall(SYS_arch_prctl, REQUEST, MATRIX_REGISTERS) == 0;
}

static struct kernels amx; /* no name: there is none */

static void make_amx(void)
{
    if (!kernels_named("avx512") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bf16") ||
        !amx_is_there())
        return;
    amx = kernels_avx512;
    amx.name = "amx";
    amx.bf16_begin = amx_begin;
    amx.bf16_end = amx_end;
    amx.microkernel_bf16 = amx_microkernel_bf16;
    amx.round_bf16 = amx_round_bf16;
    amx.round_bf16_pairs = amx_round_bf16_pairs;
}

static const struct kernels *kernels_amx(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_amx);
    return amx.name ? &amx : NULL;
}
#else
static const struct kernels *kernels_amx(void)
{
    return NULL;
}
#endif

const struct kernels *kernels_named(const char *name)
{
    if (strcmp(name, "amx") == 0)
        return kernels_amx();
#if defined(__x86_64__) && !defined(TUTTI_DOUBLE)
    __builtin_cpu_init();
    if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512dq"))
        return &kernels_avx512;
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("fma"))
        return &kernels_avx2;
#endif
    return strcmp(name, "portable") == 0 ? &kernels_portable : NULL;
}

/* The first there is of the forced one and those from `best` on. */
static const struct kernels *choose(const char *best)
{
    const char *forced = getenv("TUTTI_KERNELS");
    const char *const order[] = {forced, best, "avx512", "avx2", "portable"};
    if (forced && !kernels_named(forced))
        log_warn("TUTTI_KERNELS = %s: this processor or build has no such kernels (of "
                 "amx, avx512, avx2, portable)",
                 forced);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const struct kernels *found = order[i] ? kernels_named(order[i]) : NULL;
        if (found)
            return found;
    }
    return &kernels_portable;
}

const struct kernels *kernels(void)
{
    static const struct kernels *chosen;
    if (!chosen)
        chosen = choose("avx512");
    return chosen;
}

const struct kernels *kernels_bf16(void)
{
    static const struct kernels *chosen;
    if (!chosen)
        chosen = choose("amx");
    return chosen;
}
