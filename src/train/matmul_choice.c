/* matmul_choice: see the header. */
#include "matmul_choice.h"

#include <stdio.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/matmul.h"

enum { REASON = 100 };

static const char *name_of(int matmul)
{
    return matmul == MATMUL_OPENBLAS ? "openblas" : "packed";
}

/* For ranks without SIMD kernels. Collective. */
static enum status try_openblas(struct comm *comm, int *chosen, char reason[REASON])
{
    const struct matmul_backend *openblas;
    char first[REASON] = "", own[REASON] = "";
    bool loaded = matmul_backend_select(BACKEND_OPENBLAS, &openblas) == STATUS_OK;
    if (loaded)
        snprintf(own, sizeof own, "%s", openblas->numerics());
    memcpy(first, own, sizeof first);
    enum status status = comm_broadcast(comm, first, sizeof first);
    bool missing = comm_max_i64(comm, !loaded) > 0;
    bool mixed = comm_max_i64(comm, strcmp(own, first) != 0) > 0;
    *chosen = missing || mixed ? MATMUL_PACKED : MATMUL_OPENBLAS;
    snprintf(reason, REASON, "no SIMD kernels for the processor%s",
             missing ? ", but OpenBLAS can't be loaded"
             : mixed ? ", but OpenBLAS uses different kernels on the ranks"
                     : "");
    return status;
}

/* The choice of a new run. Collective. */
static enum status choose(struct comm *comm, const struct options *options, int *chosen,
                          char reason[REASON])
{
    enum kernels_origin origin = kernels_origin();
    int64_t ranks[] = {origin == KERNELS_FORCED, origin == KERNELS_SIMD};
    enum status status = comm_allreduce_i64(comm, ranks, 2, 0);
    *chosen = MATMUL_PACKED;
    if (options->train.precision == PRECISION_BFLOAT16)
        snprintf(reason, REASON, "train.precision = bfloat16");
    else if (ranks[0] > 0)
        snprintf(reason, REASON, "TUTTI_KERNELS is set");
    else if (ranks[1] == comm_size(comm))
        snprintf(reason, REASON, "SIMD kernels for the processor");
    else if (ranks[1] > 0)
        snprintf(reason, REASON, "SIMD kernels on %d of %d ranks", (int)ranks[1],
                 comm_size(comm));
    else if (status == STATUS_OK)
        status = try_openblas(comm, chosen, reason);
    return status;
}

static void add(char note[MATMUL_NOTE], const char *text)
{
    size_t used = strlen(note);
    snprintf(note + used, MATMUL_NOTE - used, "%s%s", used ? "; " : "", text);
}

enum status matmul_resolve(struct comm *comm, struct options *options, int recorded,
                           char note[MATMUL_NOTE])
{
    char reason[REASON] = "", text[MATMUL_NOTE];
    int chosen;
    note[0] = '\0';
    if (options->train.matmul == MATMUL_AUTO) {
        enum status status = choose(comm, options, &chosen, reason);
        if (status != STATUS_OK)
            return status;
        options->train.matmul = recorded == MATMUL_AUTO ? chosen : recorded;
        if (options->train.matmul == chosen)
            snprintf(text, sizeof text, "auto chose %s: %s", name_of(chosen), reason);
        else
            snprintf(text, sizeof text,
                     "auto keeps the checkpoint's %s; a new run would use %s: %s",
                     name_of(recorded), name_of(chosen), reason);
        add(note, text);
    }
    if (options->train.matmul == MATMUL_OPENBLAS)
        add(note, "the weights depend on the processor");
    return STATUS_OK;
}
