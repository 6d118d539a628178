#include "topology.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { LINE_SIZE = 4096, PATH_SIZE = 512, CACHES_MAX = 16, UNKNOWN = -1 };

/* ---- files ---- */

/* Reads the first line of the file root/FORMAT; "" if there is none. Returns line. */
__attribute__((format(printf, 3, 4))) static const char *
read_line(char line[LINE_SIZE], const char *root, const char *format, ...)
{
    char path[PATH_SIZE];
    int used = snprintf(path, sizeof path, "%s", root);
    size_t rest = used < PATH_SIZE ? sizeof path - (size_t)used : 0;
    va_list arguments;
    va_start(arguments, format);
    bool fits = rest > 0 && vsnprintf(path + used, rest, format, arguments) < (int)rest;
    va_end(arguments);
    FILE *file = fits ? fopen(path, "r") : NULL;
    if (!file || !fgets(line, LINE_SIZE, file))
        line[0] = '\0';
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* Parses a list such as "0-3,8,10-11", up to the first character that is not of one. */
static void parse_list(const char *text, cpu_set_t *set)
{
    CPU_ZERO(set);
    for (char *end; *text; text = end + (*end == ',')) {
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (end == text)
            return;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (unsigned long i = first; i <= last && i < CPU_SETSIZE; i++)
            CPU_SET(i, set);
    }
}

void topology_online(const char *root, cpu_set_t *cpus)
{
    char line[LINE_SIZE];
    parse_list(read_line(line, root, "/sys/devices/system/cpu/online"), cpus);
    if (CPU_COUNT(cpus) == 0)
        for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN) && i < CPU_SETSIZE; i++)
            CPU_SET((size_t)i, cpus);
}

/* The number that begins a list, which is its lowest. UNKNOWN if there is none. */
static int first_of_list(const char *text)
{
    char *end;
    unsigned long first = strtoul(text, &end, 10);
    return end == text || first >= CPU_SETSIZE ? UNKNOWN : (int)first;
}

/* "512K", "32M"; 0 if malformed. */
static size_t parse_size(const char *text)
{
    char *unit;
    unsigned long value = strtoul(text, &unit, 10);
    if (value > ULONG_MAX >> 20)
        return 0;
    return *unit == 'M' ? value << 20 : *unit == 'K' ? value << 10 : value;
}

/* ---- the hardware threads ---- */

/* The groups that a hardware thread belongs to. A core and a cache are identified by the
 * lowest hardware thread that they contain. */
struct cpu {
    int core, l2, l3, node; /* UNKNOWN if nothing is known */
    size_t l2_size;
};

/* False if the hardware thread has no cache of this index. */
static bool read_cache(const char *root, size_t id, int index, struct cpu *cpu)
{
#define CACHE "/sys/devices/system/cpu/cpu%zu/cache/index%d/"
    char line[LINE_SIZE];
    int level = atoi(read_line(line, root, CACHE "level", id, index));
    bool holds_data =
        strcmp(read_line(line, root, CACHE "type", id, index), "Instruction") != 0;
    if ((level != 2 && level != 3) || !holds_data)
        return level > 0;
    int group = first_of_list(read_line(line, root, CACHE "shared_cpu_list", id, index));
    *(level == 2 ? &cpu->l2 : &cpu->l3) = group;
    if (level == 2)
        cpu->l2_size = parse_size(read_line(line, root, CACHE "size", id, index));
    return true;
#undef CACHE
}

/* The lowest hardware thread of a hardware thread's core. */
static int read_core(const char *root, size_t id)
{
    char line[LINE_SIZE];
    int core = first_of_list(read_line(
        line, root, "/sys/devices/system/cpu/cpu%zu/topology/thread_siblings_list", id));
    return core == UNKNOWN ? (int)id : core;
}

static void read_cpu(const char *root, size_t id, struct cpu *cpu)
{
    *cpu = (struct cpu){read_core(root, id), UNKNOWN, UNKNOWN, UNKNOWN, 0};
    for (int index = 0; index < CACHES_MAX && read_cache(root, id, index, cpu); index++)
        continue;
}

static void read_numa_nodes(const char *root, struct cpu cpus[CPU_SETSIZE])
{
    char line[LINE_SIZE];
    cpu_set_t nodes, members;
    parse_list(read_line(line, root, "/sys/devices/system/node/online"), &nodes);
    for (size_t node = 0; node < CPU_SETSIZE; node++) {
        if (!CPU_ISSET(node, &nodes))
            continue;
        parse_list(
            read_line(line, root, "/sys/devices/system/node/node%zu/cpulist", node),
            &members);
        for (size_t i = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &members))
                cpus[i].node = (int)node;
    }
}

/* ---- cores and domains ---- */

static bool same_domain(const struct cpu *a, const struct cpu *b)
{
    return a->l3 == b->l3 && a->node == b->node;
}

static int gcd(int a, int b)
{
    return b == 0 ? a : gcd(b, a % b);
}

/* Sets l2_bytes, domains, domain_divisor and numa_nodes. cores[count] holds one hardware
 * thread of every core. */
static void count_groups(const struct cpu *const cores[], int count, struct topology *out)
{
    for (int c = 0; c < count; c++) {
        const struct cpu *core = cores[c];
        int sharing_l2 = 0, in_domain = 0, domain_before = 0, node_before = 0;
        for (int other = 0; other < count; other++) {
            const struct cpu *that = cores[other];
            sharing_l2 += core == that || (core->l2 != UNKNOWN && core->l2 == that->l2);
            in_domain += same_domain(core, that);
            domain_before += other < c && same_domain(core, that);
            node_before += other < c && core->node == that->node;
        }
        size_t l2_bytes = core->l2_size / (size_t)sharing_l2;
        if (c == 0 || l2_bytes < out->l2_bytes)
            out->l2_bytes = l2_bytes;
        out->domains += domain_before == 0;
        out->numa_nodes += node_before == 0;
        out->domain_divisor = gcd(in_domain, out->domain_divisor);
    }
}

void topology_read(const char *root, const cpu_set_t *cpus, struct topology *out)
{
    struct cpu all[CPU_SETSIZE];
    const struct cpu *cores[CPU_SETSIZE];
    *out = (struct topology){.cpus = CPU_COUNT(cpus)};
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, cpus))
            read_cpu(root, i, &all[i]);
    read_numa_nodes(root, all);
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        bool counted = !CPU_ISSET(i, cpus);
        for (int c = 0; !counted && c < out->cores; c++)
            counted = cores[c]->core == all[i].core;
        if (!counted)
            cores[out->cores++] = &all[i];
    }
    count_groups(cores, out->cores, out);
}

void topology_cores(const char *root, const cpu_set_t *cpus, cpu_set_t *cores)
{
    CPU_ZERO(cores);
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, cpus))
            CPU_SET((size_t)read_core(root, i), cores);
}

/* ---- the control group ---- */

int topology_cpu_limit(const char *root)
{
    char line[LINE_SIZE];
    double quota = 0, period = 0; /* "QUOTA PERIOD" or "max PERIOD" */
    int found = sscanf(read_line(line, root, "/sys/fs/cgroup/cpu.max"), "%lf %lf", &quota,
                       &period);
    if (found != 2 || !(period > 0) || !(quota > 0) || quota / period > 4096)
        return INT_MAX;
    return (int)ceil(quota / period);
}

void topology_apply_limit(struct topology *topology, int cpu_limit)
{
    if (cpu_limit >= topology->cores)
        return;
    topology->cores = cpu_limit;
    topology->domain_divisor = gcd(topology->domain_divisor, cpu_limit);
}

/* ---- the processor's name ---- */

/* Implementers and parts of the register MIDR_EL1, as in the Linux kernel's
 * arch/arm64/include/asm/cputype.h. */
static const struct arm_part {
    unsigned implementer, part;
    const char *name;
} arm_parts[] = {
    {0x41, 0xd08, "Arm Cortex-A72"},   {0x41, 0xd0b, "Arm Cortex-A76"},
    {0x41, 0xd0c, "Arm Neoverse-N1"},  {0x41, 0xd40, "Arm Neoverse-V1"},
    {0x41, 0xd49, "Arm Neoverse-N2"},  {0x41, 0xd4f, "Arm Neoverse-V2"},
    {0x46, 0x001, "Fujitsu A64FX"},    {0x48, 0xd01, "HiSilicon Kunpeng 920"},
    {0xc0, 0xac3, "Ampere AmpereOne"},
};

static void name_arm_part(unsigned implementer, unsigned part, char *name, size_t size)
{
    snprintf(name, size, "aarch64, implementer 0x%02x, part 0x%03x", implementer, part);
    for (size_t i = 0; i < sizeof arm_parts / sizeof *arm_parts; i++)
        if (arm_parts[i].implementer == implementer && arm_parts[i].part == part)
            snprintf(name, size, "%s", arm_parts[i].name);
}

/* The value of a line "KEY<blanks>: VALUE", or NULL. */
static const char *value_of(const char *line, const char *key)
{
    const char *colon = strchr(line, ':');
    if (strncmp(line, key, strlen(key)) != 0 || !colon)
        return NULL;
    return colon + 1 + strspn(colon + 1, " \t");
}

static void name_architecture(char *name, size_t size)
{
    struct utsname system;
    snprintf(name, size, "%s",
             uname(&system) == 0 ? system.machine : "unknown processor");
}

const char *topology_processor(const char *root, char *name, size_t size)
{
    char line[LINE_SIZE], path[PATH_SIZE];
    unsigned implementer = 0, part = 0;
    snprintf(path, sizeof path, "%s/proc/cpuinfo", root);
    FILE *file = fopen(path, "r");
    name[0] = '\0';
    while (file && !name[0] && part == 0 && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        const char *value;
        if ((value = value_of(line, "model name")))
            snprintf(name, size, "%s", value);
        else if ((value = value_of(line, "CPU implementer")))
            implementer = (unsigned)strtoul(value, NULL, 16);
        else if ((value = value_of(line, "CPU part")))
            part = (unsigned)strtoul(value, NULL, 16);
    }
    if (file)
        fclose(file);
    if (!name[0] && part != 0)
        name_arm_part(implementer, part, name, size);
    else if (!name[0])
        name_architecture(name, size);
    return name;
}
