/* kernels: packing, and the choice of an instruction set at run time. */
#include "tutti/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "tutti/log.h"
#include "variants.h"

enum { ALIGNMENT = 64 };

enum status packed_create(int n, int k, struct packed *out)
{
    size_t panels = ((size_t)n + PANEL - 1) / PANEL;
    size_t bytes = panels * PANEL * (size_t)k * sizeof(real);
    *out = (struct packed){.n = n, .k = k};
    out->panels = aligned_alloc(ALIGNMENT, bytes);
    if (!out->panels)
        return status_fail(STATUS_FAILED, "no memory for %d x %d packed weights", n, k);
    memset(out->panels, 0, bytes);
    return STATUS_OK;
}

void packed_free(struct packed *packed)
{
    free(packed->panels);
    packed->panels = NULL;
}

void packed_set(struct packed *packed, const real *w, size_t stride, int transposed)
{
    size_t n = (size_t)packed->n, k = (size_t)packed->k;
    for (size_t first = 0; first < n; first += PANEL) {
        real *panel = packed->panels + first * k;
        size_t width = n - first < PANEL ? n - first : PANEL;
        if (transposed) {
            for (size_t l = 0; l < k; l++)
                memcpy(panel + l * PANEL, w + l * stride + first, width * sizeof *w);
            continue;
        }
        for (size_t l = 0; l < k; l++)
            for (size_t j = 0; j < width; j++)
                panel[l * PANEL + j] = w[(first + j) * stride + l];
    }
}

const struct kernels *kernels_named(const char *name)
{
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

static const struct kernels *choose(void)
{
    const char *forced = getenv("TUTTI_KERNELS");
    const char *const order[] = {forced, "avx512", "avx2", "portable"};
    if (forced && !kernels_named(forced))
        log_warn("TUTTI_KERNELS = %s: this processor or build has no such kernels (of "
                 "avx512, avx2, portable)",
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
