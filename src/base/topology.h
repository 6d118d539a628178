/* topology: the processor, its caches and its memory, as Linux describes them below /sys
 * and /proc.
 *
 * `root` is a prefix of these paths: "" for this machine; tests use a folder. Whatever is
 * missing (containers, emulators, other processors) counts as not shared and of unknown
 * size.
 */
#ifndef TUTTI_BASE_TOPOLOGY_H
#define TUTTI_BASE_TOPOLOGY_H

#include <sched.h>
#include <stddef.h>

/* A set of hardware threads ("CPUs" of Linux). A cache domain is a group of cores that
 * share a third-level cache and a NUMA node; without a third-level cache, a NUMA node. */
struct topology {
    int cpus;           /* hardware threads in the set */
    int cores;          /* in the set; the hardware threads of a core count once */
    size_t l2_bytes;    /* of the second-level cache, per core of the set that shares it;
                           the smallest of all cores; 0: unknown */
    int domains;        /* cache domains that the set touches */
    int domain_divisor; /* greatest common divisor of the domains' numbers of cores: ranks
                           with this number of threads, or a divisor of it, fill every
                           domain */
    int numa_nodes;     /* that the set touches */
};

/* The hardware threads of the machine that are online. */
void topology_online(const char *root, cpu_set_t *cpus);

/* All members are 0 for an empty set. */
void topology_read(const char *root, const cpu_set_t *cpus, struct topology *out);

/* The cores of the set, each represented by its lowest hardware thread, whether or not
 * the set contains that. */
void topology_cores(const char *root, const cpu_set_t *cpus, cpu_set_t *cores);

/* The CPU limit of the control group (version 2) in cores, rounded up; INT_MAX if there
 * is none. */
int topology_cpu_limit(const char *root);

/* Lowers the number of cores to this limit, and domain_divisor to a divisor of it. */
void topology_apply_limit(struct topology *topology, int cpu_limit);

/* The name of the processor: its model name (x86-64); or else implementer and part
 * (aarch64: "Arm Neoverse-N1", "aarch64, implementer 0x41, part 0xd99"); or else the
 * architecture. Returns name. */
const char *topology_processor(const char *root, char *name, size_t size);

#endif
