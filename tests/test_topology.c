/* topology: made-up machines as folders with /sys and /proc; lists, sizes, missing files,
 * limits of control groups, and names of processors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/topology.h"
#include "remove_tree.h"

static char root[32]; /* the folder of a test */

/* Writes the file root/FORMAT and the folders above it. */
__attribute__((format(printf, 2, 3))) static void put(const char *text,
                                                      const char *format, ...)
{
    char path[512];
    int used = snprintf(path, sizeof path, "%s", root);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path + used, sizeof path - (size_t)used, format, arguments);
    va_end(arguments);
    for (char *slash = strchr(path + used + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", text);
    assert_int_equal(fclose(file), 0);
}

#define CPU "/sys/devices/system/cpu/cpu%d"

static void put_cache(int cpu, int index, const char *level, const char *size,
                      const char *shared)
{
    put(level, CPU "/cache/index%d/level", cpu, index);
    put(index == 1   ? "Instruction"
        : index == 0 ? "Data"
                     : "Unified",
        CPU "/cache/index%d/type", cpu, index);
    put(size, CPU "/cache/index%d/size", cpu, index);
    put(shared, CPU "/cache/index%d/shared_cpu_list", cpu, index);
}

/* `cpus` cores without hardware threads; each `l3` of them share a third-level cache,
 * each `node` a NUMA node. */
static void make_machine(int cpus, int l3, int node)
{
    char own[32], shared[32];
    for (int i = 0; i < cpus; i++) {
        snprintf(own, sizeof own, "%d", i);
        snprintf(shared, sizeof shared, "%d-%d", i / l3 * l3, i / l3 * l3 + l3 - 1);
        put(own, CPU "/topology/thread_siblings_list", i);
        put_cache(i, 0, "1", "48K", own);
        put_cache(i, 1, "1", "32K", own);
        put_cache(i, 2, "2", "2048K", own);
        put_cache(i, 3, "3", "32M", shared);
    }
    snprintf(own, sizeof own, "0-%d", cpus / node - 1);
    put(own, "/sys/devices/system/node/online");
    for (int n = 0; n < cpus / node; n++) {
        snprintf(shared, sizeof shared, "%d-%d", n * node, n * node + node - 1);
        put(shared, "/sys/devices/system/node/node%d/cpulist", n);
    }
}

static cpu_set_t set_of(int first, int end)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = first; i < end; i++)
        CPU_SET((size_t)i, &set);
    return set;
}

static struct topology read_set(cpu_set_t set)
{
    struct topology topology;
    topology_read(root, &set, &topology);
    return topology;
}

static void expect_topology(struct topology found, struct topology expected)
{
    assert_int_equal(found.cpus, expected.cpus);
    assert_int_equal(found.cores, expected.cores);
    assert_int_equal(found.l2_bytes, expected.l2_bytes);
    assert_int_equal(found.domains, expected.domains);
    assert_int_equal(found.domain_divisor, expected.domain_divisor);
    assert_int_equal(found.numa_nodes, expected.numa_nodes);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/test_topology.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return file_remove_tree(root) == STATUS_OK ? 0 : -1;
}

/* ---- cores, caches, nodes ---- */

static void machine_with_chiplets(void **state)
{
    (void)state;
    make_machine(32, 8, 16);
    expect_topology(read_set(set_of(0, 32)), (struct topology){32, 32, 2 << 20, 4, 8, 2});
    expect_topology(read_set(set_of(0, 12)), (struct topology){12, 12, 2 << 20, 2, 4, 1});
    expect_topology(read_set(set_of(5, 19)), (struct topology){14, 14, 2 << 20, 3, 1, 2});
    expect_topology(read_set(set_of(31, 32)), (struct topology){1, 1, 2 << 20, 1, 1, 1});
    expect_topology(read_set(set_of(0, 0)), (struct topology){0});
}

/* A third-level cache larger than a NUMA node (sub-NUMA clustering). */
static void domain_within_a_node(void **state)
{
    (void)state;
    make_machine(16, 16, 4);
    expect_topology(read_set(set_of(0, 16)), (struct topology){16, 16, 2 << 20, 4, 4, 4});
}

/* Cores 0 to 3 with hardware threads i and i + 4, of which two cores share 1 MB. */
static void hardware_threads_and_shared_caches(void **state)
{
    (void)state;
    static const char *const siblings[] = {"0,4", "1,5", "2,6", "3,7"}, *const pairs[] = {
                                                                            "0-1,4-5",
                                                                            "2-3,6-7"};
    for (int i = 0; i < 8; i++) {
        put(siblings[i % 4], CPU "/topology/thread_siblings_list", i);
        put_cache(i, 0, "2", "1024K", pairs[i % 4 / 2]);
    }
    expect_topology(read_set(set_of(0, 8)), (struct topology){8, 4, 1 << 19, 1, 4, 1});
    expect_topology(read_set(set_of(0, 4)), (struct topology){4, 4, 1 << 19, 1, 4, 1});
    expect_topology(read_set(set_of(3, 5)), (struct topology){2, 2, 1 << 20, 1, 2, 1});
    cpu_set_t core = set_of(0, 1);
    CPU_SET(4, &core);
    expect_topology(read_set(core), (struct topology){2, 1, 1 << 20, 1, 1, 1});
    cpu_set_t cpus = set_of(3, 6), cores, expected = set_of(0, 2);
    CPU_SET(3, &expected);
    topology_cores(root, &cpus, &cores);
    assert_true(CPU_EQUAL(&cores, &expected));
}

/* The smallest cache of different cores; an instruction cache is none. */
static void different_caches(void **state)
{
    (void)state;
    put_cache(0, 1, "2", "64K", "0");
    put_cache(0, 0, "2", "2M", "0");
    put_cache(1, 0, "2", "512K", "1");
    put_cache(2, 0, "2", "1M", ""); /* shared with nobody */
    put_cache(3, 0, "2", "1M", "");
    expect_topology(read_set(set_of(0, 2)), (struct topology){2, 2, 1 << 19, 1, 2, 1});
    expect_topology(read_set(set_of(2, 4)), (struct topology){2, 2, 1 << 20, 1, 2, 1});
}

static void nothing_known(void **state)
{
    (void)state;
    expect_topology(read_set(set_of(0, 6)), (struct topology){6, 6, 0, 1, 6, 1});
    make_machine(2, 2, 2);
    put("", CPU "/topology/thread_siblings_list", 0);
    put("nonsense", CPU "/cache/index2/size", 0);
    put("99999999999999999999M", CPU "/cache/index2/size", 1);
    put("4096-", CPU "/cache/index3/shared_cpu_list", 0);
    put("", CPU "/cache/index3/shared_cpu_list", 1);
    put("0-,x", "/sys/devices/system/node/node0/cpulist");
    expect_topology(read_set(set_of(0, 2)), (struct topology){2, 2, 0, 2, 1, 2});
    expect_topology(read_set(set_of(1, 2)), (struct topology){1, 1, 0, 1, 1, 1});
}

static void online_processors(void **state)
{
    (void)state;
    cpu_set_t cpus, expected = set_of(0, 4);
    put("0-3,8-11", "/sys/devices/system/cpu/online");
    topology_online(root, &cpus);
    for (size_t i = 8; i < 12; i++)
        CPU_SET(i, &expected);
    assert_true(CPU_EQUAL(&cpus, &expected));
}

static void this_machine(void **state)
{
    (void)state;
    cpu_set_t own;
    struct topology topology;
    assert_int_equal(sched_getaffinity(0, sizeof own, &own), 0);
    topology_read("", &own, &topology);
    assert_int_equal(topology.cpus, CPU_COUNT(&own));
    assert_in_range(topology.cores, 1, topology.cpus);
    assert_in_range(topology.domains, topology.numa_nodes, topology.cores);
    assert_int_equal(topology.cores % topology.domain_divisor, 0);
}

/* ---- limits ---- */

static void limits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int expected;
    } cases[] = {{"max 100000", INT_MAX}, {"400000 100000", 4}, {"150000 100000", 2},
                 {"50000 100000", 1},     {"0 0", INT_MAX},     {"junk", INT_MAX}};
    assert_int_equal(topology_cpu_limit(root), INT_MAX);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(cases[i].text, "/sys/fs/cgroup/cpu.max");
        assert_int_equal(topology_cpu_limit(root), cases[i].expected);
    }
    struct topology topology = {.cores = 32, .domain_divisor = 8};
    topology_apply_limit(&topology, INT_MAX);
    assert_int_equal(topology.cores, 32);
    topology_apply_limit(&topology, 12);
    assert_int_equal(topology.cores, 12);
    assert_int_equal(topology.domain_divisor, 4);
}

/* ---- names ---- */

static void expect_processor(const char *cpuinfo, const char *expected)
{
    char name[40];
    if (cpuinfo)
        put(cpuinfo, "/proc/cpuinfo");
    assert_string_equal(topology_processor(root, name, sizeof name), expected);
}

static void processors(void **state)
{
    (void)state;
    struct utsname system;
    assert_int_equal(uname(&system), 0);
    expect_processor(NULL, system.machine);
    expect_processor(
        "processor\t: 0\nmodel name\t: Some Processor 9000 @ 3 GHz\nflags\t: a",
        "Some Processor 9000 @ 3 GHz");
    expect_processor("processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
                     "CPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1",
                     "Arm Neoverse-N1");
    expect_processor("CPU implementer\t: 0x41\nCPU part\t: 0xfff",
                     "aarch64, implementer 0x41, part 0xfff");
    expect_processor("model name\t: A name that is much longer than the forty bytes",
                     "A name that is much longer than the for");
    expect_processor("nothing of use", system.machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(machine_with_chiplets, make_root, remove_root),
        cmocka_unit_test_setup_teardown(domain_within_a_node, make_root, remove_root),
        cmocka_unit_test_setup_teardown(hardware_threads_and_shared_caches, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(different_caches, make_root, remove_root),
        cmocka_unit_test_setup_teardown(nothing_known, make_root, remove_root),
        cmocka_unit_test_setup_teardown(limits, make_root, remove_root),
        cmocka_unit_test_setup_teardown(online_processors, make_root, remove_root),
        cmocka_unit_test_setup_teardown(processors, make_root, remove_root),
        cmocka_unit_test(this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
