/* kernels: the choice of an instruction set at run time. */
#include "tutti/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "tutti/log.h"
#include "variants.h"

const struct kernels *kernels_named(const char *name)
{
#if defined(__x86_64__) && !defined(TUTTI_DOUBLE)
    __builtin_cpu_init();
    if (strcmp(name, "amx") == 0)
        return kernels_amx();
    if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512dq"))
        return &kernels_avx512;
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("fma"))
        return &kernels_avx2;
#endif
    return strcmp(name, "portable") == 0 ? &kernels_portable : NULL;
}

static const struct kernels *choose(void)
{
    const char *forced = getenv("TUTTI_KERNELS");
    const char *const order[] = {forced, "amx", "avx512", "avx2", "portable"};
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
        chosen = choose();
    return chosen;
}
