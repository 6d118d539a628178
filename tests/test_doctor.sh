#!/bin/bash
# `tutti doctor`: no fault on a healthy machine, and each fault that can be provoked here
# is found on the right ranks, with a suggested fix. Some are provoked by a preloaded
# library, if there is a compiler.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
unset OMP_NUM_THREADS OPENBLAS_NUM_THREADS OPENBLAS_CORETYPE HDF5_USE_FILE_LOCKING
openblas=(--set train.matmul=openblas) # whose matmuls may be multithreaded
unset "${!SLURM_@}"
mkdir runs

# doctor CODE COMMAND...: runs the command; its findings are in out.txt.
doctor() {
    local want=$1 code=0
    shift
    timeout 300 "$@" >out.txt 2>err.txt || code=$?
    [ "$code" = "$want" ] || { cat out.txt err.txt >&2; fail "$*: exit code $code, not $want"; }
}

# doctor_mixed CODE RANKS COMMAND COMMAND: runs doctor on RANKS ranks, with the second
# command on the last one. (Not as "mpirun COMMAND : COMMAND", on which PMIx 5.0.7 of
# Debian 13 crashes.)
doctor_mixed() {
    doctor "$1" "$mpirun" --bind-to none -n "$2" bash -c \
        "if [ $my_rank = $(($2 - 1)) ]; then exec $4; else exec $3; fi"
}

# finds LEVEL CHECK PATTERN: requires exactly one matching line of this level and check.
finds() {
    local lines
    lines=$(grep -cE "^$1 +$2 .*$3" out.txt)
    [ "$lines" = 1 ] || { cat out.txt >&2; fail "$lines lines match '$1 $2 ... $3'"; }
    echo "ok: $1 $2: $3"
}

# suggests PATTERN: requires a finding that suggests a matching fix.
suggests() { grep -qE "^ +-> .*$1" out.txt || { cat out.txt >&2; fail "no suggestion '$1'"; }; }

# has_no LEVEL: requires that there are no findings of this level.
has_no() { ! grep -E "^$1 " out.txt >&2 || fail "unexpected $1"; }

# The hardware threads available to this shell; their number of cores; one and another core.
cpus=()
IFS=, read -ra ranges <<<"$(taskset -pc $$ | sed 's/.*: *//')"
for range in "${ranges[@]}"; do
    for ((cpu = ${range%-*}; cpu <= ${range#*-}; cpu++)); do cpus+=("$cpu"); done
done
system=/sys/devices/system
cores=$(for cpu in "${cpus[@]}"; do
    cat $system/cpu/cpu"$cpu"/topology/thread_siblings_list 2>/dev/null || echo "$cpu"
done | sort -u | wc -l)
one=${cpus[0]} other=${cpus[-1]}

# ---- no faults ----

doctor 0 "$tutti" doctor
has_no fault
finds ok launch "1 rank on 1 host .*without a launcher"
finds ok directory "write and fsync.*atomic rename.*this rank"
finds ok "file locks" "flock, fcntl and HDF5 files work"
doctor 0 "$mpirun" -n 3 "$tutti" doctor --run-dir runs
has_no fault
finds ok launch "3 ranks on 1 host .*mpirun"
finds ok directory "runs .*visible to all ranks"
finds ok clocks "apart"
finds ok ports "all ranks can connect"
finds "(ok|note)" sum "allreduce of a gradient of 31\.8 MB in .* ms"
[ -z "$(ls -A runs)" ] || fail "files are left in the directory"

doctor 0 "$mpirun" -n 2 "$tutti" doctor --json
if command -v python3 >/dev/null; then
    python3 - <<'END' || fail "--json"
import json
found = json.load(open("out.txt"))
assert found["ranks"] == 2 and len(found["hosts"]) == 2 and found["faults"] == 0, found
names = {c["check"] for c in found["checks"]}
assert {"launch", "binding", "processors", "limits", "directory", "file locks", "disk space",
        "shared memory", "clocks", "ports", "sum", "speed"} <= names, names
assert all(c["level"] in ("ok", "note", "warning", "fault") and c["found"] for c in found["checks"])
assert all(c["cure"] for c in found["checks"] if c["level"] in ("warning", "fault"))
END
    echo "ok: --json"
fi

# model and directory are taken from the configuration
cat >tiny.conf <<'END'
[model]
layers = 1
hidden = 16
embedding = 8
[run]
dir = runs/new/first
keep_checkpoints = 1
END
doctor 0 "$tutti" doctor tiny.conf
finds ok directory "runs \("
finds ok "disk space" "3 checkpoints of this model take 0 MB"

# ---- launch ----

doctor 1 env SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 "$tutti" doctor
finds fault launch "srun started 4 processes.*each is rank 0 of 1"
suggests "srun --mpi=pmix"
finds ok directory "write and fsync" # the other checks still run
[ "$(cat err.txt)" = "tutti: doctor: 1 fault" ] || fail "not one line: $(cat err.txt)"
doctor 1 env SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=2 "$tutti" doctor
[ -s out.txt ] || [ -s err.txt ] && fail "the third of four processes prints"
doctor 0 env SLURM_JOB_ID=1 SLURM_NTASKS=8 "$tutti" doctor
finds note launch "job has 8 tasks, but this is one process"
doctor 0 env SLURM_JOB_ID=1 SLURM_JOB_END_TIME=1700000000 SLURM_STEP_NUM_TASKS=4 \
    SLURM_PROCID=0 "$tutti" doctor
finds note launch "left over from job 1, whose end .* has passed"
doctor 1 "$mpirun" -n 3 "$tutti" doctor --set train.microbatches=2
finds fault microbatches "3 ranks, but train.microbatches = 2: each rank needs"
refuses 2 'did you mean hidden' "$tutti" doctor --set model.hiden=3
refuses 2 'missing.conf' "$tutti" doctor missing.conf

# ---- root ----

if [ "$(id -u)" = 0 ] && grep -q "Open MPI" out.txt; then
    doctor 0 env -u OMPI_ALLOW_RUN_AS_ROOT_CONFIRM "$tutti" doctor
    finds note root "running as root, for which mpirun refuses to start programs"
    suggests "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1, or mpirun --allow-run"
    doctor 0 env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "$tutti" doctor
    grep -q "^note  *root" out.txt && fail "a note although root is allowed"
    doctor 0 env -u OMPI_ALLOW_RUN_AS_ROOT mpirun --allow-run-as-root -n 2 "$tutti" doctor
    grep -q "^note  *root" out.txt && fail "a note under mpirun as root"
fi

# ---- cores ----

doctor 0 "$mpirun" -n 2 --bind-to none taskset -c "$one" "$tutti" doctor
finds warning binding "all ranks share 1 core: 2 threads"
doctor 0 taskset -c "$one" "$tutti" doctor "${openblas[@]}" --set train.threads=3
finds warning binding "rank 0 .*: 3 threads on 1 core"
suggests "train.threads=1"
doctor 0 "$mpirun" -n 2 --bind-to none "$tutti" doctor "${openblas[@]}" --set "train.threads=$cores"
finds warning binding "all ranks share $cores cores?: $((2 * cores)) threads"
doctor 0 taskset -c "$one" "$tutti" doctor
finds ok binding "1 rank x 1 thread"
if [ "$cores" -ge 2 ]; then
    doctor 0 "$tutti" doctor
    finds note binding "1 of $cores available cores"
    if is_open_mpi; then
        suggests "mpirun -n [0-9]+ --map-by ppr:[0-9]+:node:PE=[0-9]+ --bind-to core, or srun --ntasks-per-node="
    else
        suggests "mpirun -n [0-9]+ -ppn [0-9]+ -bind-to core:[0-9]+, or srun --ntasks-per-node="
    fi
    doctor_mixed 0 2 "taskset -c $one $tutti doctor" "taskset -c $other $tutti doctor"
    finds ok binding "2 ranks x 1 thread, one core each"
    doctor_mixed 0 3 "taskset -c $one $tutti doctor" "taskset -c $other $tutti doctor"
    finds warning binding "ranks 0-1 \(.*\) share 1 core"
fi
doctor 0 env SLURM_CPUS_PER_TASK=4 SLURM_PROCID=0 taskset -c "$one" "$tutti" doctor
finds warning cpus-per-task "cpus-per-task=4 did not reach rank 0"
suggests "SRUN_CPUS_PER_TASK"
doctor 0 env SLURM_CPUS_PER_TASK=4 "$mpirun" --bind-to none -n 2 taskset -c "$one" "$tutti" doctor
finds warning cpus-per-task "did not reach all ranks"
suggests "mpirun (--map-by slot:PE=4|-bind-to core:4)"
doctor 0 env OMP_NUM_THREADS=8 "$tutti" doctor --set train.threads=1
finds note threads "OMP_NUM_THREADS=8 has no effect: a rank has 1 thread"
doctor 0 env OMP_NUM_THREADS=3 taskset -c "$one" "$tutti" doctor
finds warning binding "rank 0 .*: 3 threads on 1 core"
suggests "srun --cpus-per-task"
doctor 0 env OMP_NUM_THREADS=2 "$mpirun" --bind-to none -n 2 taskset -c "$one" "$tutti" doctor
finds warning binding "all ranks: 2 threads on 1 core each"
if [ "$cores" -ge 2 ]; then
    suggests "mpirun (--map-by slot:PE=2 --bind-to core|-bind-to core:2), srun --cpus-per-task=2"
    bind_to_core=(--bind-to core)
    is_open_mpi || bind_to_core=(-bind-to core)
    doctor 0 env OMP_NUM_THREADS=2 "$mpirun" "${bind_to_core[@]}" -n 1 "$tutti" doctor
    finds warning binding "rank 0 .*: 2 threads on 1 core, while the host has other cores"
    doctor 0 env OMP_PROC_BIND=close "$mpirun" --bind-to none -n 2 "$tutti" doctor
    finds warning binding "OMP_PROC_BIND or OMP_PLACES binds the threads of all ranks to the same"
    suggests "unset OMP_PROC_BIND OMP_PLACES, or bind the ranks: mpirun "
fi
# Places bind the main thread to the first of them, but the team has them all.
doctor 0 env OMP_PROC_BIND=close "OMP_NUM_THREADS=$cores" "$tutti" doctor
grep -q "binding .*$cores thread.* on 1 core" out.txt && [ "$cores" != 1 ] && fail "places are not counted"

# ---- layout ----

# two_cores COMMAND...: runs doctor on two cores, with one rank, after the command.
two_cores() { doctor 0 unshare -rm bash -c "$1 && exec taskset -c $one,$other ${*:2}"; }

# An LSTM of 256 units: 1 MB of recurrent weights in a layer.
finds_layout() { finds "$1" layout "$2"; }
doctor 0 taskset -c "$one" "$tutti" doctor --set model.hidden=256
finds_layout ok "1 rank x 1 thread: a thread reads 1 MB of recurrent weights"
if [ "$cores" -ge 2 ] && [ -e $system/cpu/cpu"$one"/cache/index2/size ] &&
    unshare -rm mount --bind /dev/null $system/cpu/cpu"$one"/cache/index2/size 2>/dev/null; then
    small="--set model.hidden=256 --set train.batch=16"
    echo 512K >size
    caches="mount --bind size $system/cpu/cpu$one/cache/index2/size &&
        mount --bind size $system/cpu/cpu$other/cache/index2/size"
    two_cores "$caches" "$mpirun --bind-to none -n 2 $tutti doctor $small"
    finds_layout note "2 ranks x 1 thread; 1 rank x 2 threads would keep the recurrent weights in the "
    suggests "mpirun -n 1 .*, or srun --ntasks-per-node=1 --cpus-per-task=[24] .*train.threads=2"
    two_cores "$caches" "$tutti doctor $small --set train.threads=2"
    finds_layout ok "1 rank x 2 threads: .* 0.52 MB of .* second-level cache has 0.52 MB"
    mkdir -p node/node0 node/node1
    echo 0-1 >node/online
    echo "$one" >node/node0/cpulist
    echo "$other" >node/node1/cpulist
    two_cores "mount --bind node $system/node" "$tutti doctor --set train.threads=2"
    finds_layout warning "the cores of rank 0 .* belong to several NUMA nodes"
    suggests "mpirun -n 2 .*train.threads=1"
    two_cores "mount --bind node $system/node" "env OMP_PROC_BIND=close $tutti doctor --set train.threads=2"
    ! grep "NUMA nodes, so" out.txt >&2 || fail "a warning although OpenMP binds the threads"
else
    echo "skipped: layouts on other caches: one core, or no mounts over $system"
fi

# ---- processors ----

doctor 0 "$tutti" doctor
! grep "unknown processor" out.txt >&2 || fail "the processor has no name"

if [ "$(uname -m)" = x86_64 ]; then
    nehalem="env OPENBLAS_CORETYPE=Nehalem $tutti doctor ${openblas[*]}"
    prescott="env OPENBLAS_CORETYPE=Prescott $tutti doctor ${openblas[*]}"
    doctor_mixed 1 3 "$nehalem" "$prescott"
    finds fault processors "Nehalem kernels on rank 0 .*Prescott on rank 2 "
    suggests "train.matmul = packed; or OPENBLAS_CORETYPE=Prescott on all"
    allowed="--set train.allow_mixed_cores=yes"
    doctor_mixed 0 3 "$nehalem $allowed" "$prescott $allowed"
    finds warning processors "Nehalem kernels on rank 0 .*Prescott on rank 2 "
    doctor_mixed 0 2 "env OPENBLAS_CORETYPE=Nehalem $tutti doctor" \
        "env OPENBLAS_CORETYPE=Prescott $tutti doctor" # our own matmul ignores it
    # shellcheck disable=SC2086
    doctor 0 $nehalem
    if grep -q 'own kernels avx512' out.txt; then
        finds note processors "uses its Nehalem kernels, set by OPENBLAS_CORETYPE"
    fi
    doctor_mixed 0 2 "$tutti doctor" "env TUTTI_KERNELS=portable $tutti doctor"
    if ! grep -q 'own kernels portable' out.txt; then # else the other rank is not slower
        finds warning speed "rank 1 \(.*\) computes"
    fi
fi

# ---- limits, shared memory, disks ----

(ulimit -f 100000 && ulimit -n 200 && doctor 0 "$tutti" doctor &&
    finds warning limits "limit of open files is too low" && finds warning limits "size of files") || exit 1

if unshare -rm true 2>/dev/null; then
    if is_open_mpi; then # under this limit MPICH on UCX doesn't start
        doctor 0 unshare -rm bash -c "mount -t tmpfs -o size=1m none /dev/shm && '$tutti' doctor"
        finds note "shared memory" "/dev/shm on .* has 1 MB.*Open MPI needs"
        suggests "shm-size"
    fi
    mkdir -p locked small
    doctor 1 unshare -rm bash -c \
        "mount -t tmpfs -o ro none locked && '$tutti' doctor --run-dir locked"
    finds fault directory "locked: .*Read-only file system"
    suggests "another --run-dir"
    doctor 1 unshare -rm bash -c \
        "mount -t tmpfs -o size=4m none small && '$tutti' doctor --run-dir small"
    finds fault "disk space" "4 MB free; 5 checkpoints of this model take 238 MB"
    finds note "disk space" "in memory \(tmpfs\)"
    doctor 0 unshare -rm bash -c \
        "mount -t tmpfs -o size=100m none small && '$tutti' doctor --run-dir small"
    finds warning "disk space" "105 MB free"
fi
doctor 1 "$tutti" doctor --run-dir runs/nowhere
finds fault directory "runs/nowhere: .*No such file"
suggests "make the directory first"

# a directory that one rank does not share
if unshare -m true 2>/dev/null; then
    mkdir -p own
    doctor_mixed 1 3 "$tutti doctor --run-dir own" \
        "unshare -m sh -c 'mount -t tmpfs none own && exec $tutti doctor --run-dir own'"
    finds fault directory "own: a file written by rank 0 .* is not visible to rank 2 "
    suggests "shared by all hosts"
fi

# ---- faults from a preloaded library ----

compiler=$(command -v cc || true)
if [ -z "$compiler" ] || nm -D "$tutti" 2>/dev/null | grep -q __asan; then
    echo "skipped: faults by preloading: no compiler, or built with a sanitizer"
    echo "all ok"
    exit 0
fi
cat >preload.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
static int from_tutti(void *caller) /* and not from MPI */
{
    Dl_info info;
    return dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "tutti");
}
static int is_injected(const char *what)
{
    const char *fault = getenv("FAULT");
    return fault && strcmp(fault, what) == 0;
}
int flock(int file, int operation)
{
    int (*next)(int, int) = dlsym(RTLD_NEXT, "flock");
    if (is_injected("flock")) {
        errno = ENOLCK;
        return -1;
    }
    return next(file, operation);
}
int connect(int file, const struct sockaddr *address, socklen_t size)
{
    int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    if (is_injected("connect") && from_tutti(__builtin_return_address(0))) {
        errno = EHOSTUNREACH;
        return -1;
    }
    return next(file, address, size);
}
ssize_t process_vm_readv(pid_t pid, const struct iovec *to, unsigned long to_count,
                         const struct iovec *from, unsigned long count, unsigned long flags)
{
    ssize_t (*next)(pid_t, const struct iovec *, unsigned long, const struct iovec *,
                    unsigned long, unsigned long) = dlsym(RTLD_NEXT, "process_vm_readv");
    if (is_injected("copy")) {
        errno = EPERM;
        return -1;
    }
    return next(pid, to, to_count, from, count, flags);
}
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int (*next)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = next(clock, now);
    if (clock == CLOCK_REALTIME && is_injected("clock"))
        now->tv_sec += 100;
    return result;
}
END
"$compiler" -shared -fPIC -o preload.so preload.c -ldl || fail "preload.c"
doctor 0 env FAULT=flock LD_PRELOAD="$work/preload.so" "$tutti" doctor
finds warning "file locks" "rank 0 .*flock fails: No locks available"
suggests "HDF5_USE_FILE_LOCKING=FALSE"
doctor 1 env HDF5_USE_FILE_LOCKING=TRUE FAULT=flock LD_PRELOAD="$work/preload.so" "$tutti" doctor
finds fault "file locks" "rank 0 .*HDF5 file can't be read"
suggests "HDF5_USE_FILE_LOCKING=FALSE"
doctor 0 env HDF5_USE_FILE_LOCKING=FALSE FAULT=flock LD_PRELOAD="$work/preload.so" "$tutti" doctor
finds note "file locks" "flock fails: No locks available.*; HDF5_USE_FILE_LOCKING=FALSE"
doctor_mixed 0 2 "$tutti doctor" "env FAULT=clock LD_PRELOAD=$work/preload.so $tutti doctor"
finds warning clocks "rank 1 \(.*\) is 100\.0 s ahead of rank 0"
doctor_mixed 0 3 "$tutti doctor" "env FAULT=connect LD_PRELOAD=$work/preload.so $tutti doctor"
finds warning ports "rank 2 \(.*\) can't connect to a port of rank 0 .*No route to host"
suggests "firewall"
doctor 0 env FAULT=copy LD_PRELOAD="$work/preload.so" "$tutti" doctor
finds note "shared memory" "rank 0 .* can't read another process's memory"
echo "all ok"
