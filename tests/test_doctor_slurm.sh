#!/bin/bash
# `tutti doctor` under a real srun (slurm/cluster.sh): with and without PMIx, and in a job
# whose --cpus-per-task is not propagated. Skipped without Slurm.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ "${TUTTI_TEST_SLURM:-yes}" != no ] || skip "TUTTI_TEST_SLURM=no"
is_open_mpi || skip "not Open MPI: srun --mpi=pmix does not start its ranks"
at_exit 'bash "$tests/slurm/cluster.sh" stop "$work/cluster"'
bash "$tests/slurm/cluster.sh" start "$work/cluster" 2 || exit
# shellcheck disable=SC1091 # made by cluster.sh
. cluster/environment

# finds LEVEL CHECK PATTERN: requires exactly one matching line in out.txt.
finds() {
    [ "$(grep -cE "^$1 +$2 .*$3" out.txt)" = 1 ] || { cat out.txt >&2; fail "$1 $2 $3"; }
    echo "ok: $1 $2: $3"
}

# srun_doctor CODE ARGUMENT...: requires this exit code; the findings are in out.txt. A
# launch that fails on a busy machine is retried.
srun_doctor() {
    local want=$1 code
    for _ in 1 2 3; do
        code=0
        srun "${@:2}" "$tutti" doctor >out.txt 2>&1 || code=$?
        grep '^srun: error' out.txt | grep -qv 'Exited with exit code' || break
    done
    [ "$code" = "$want" ] || { cat out.txt >&2; fail "srun ${*:2}: exit code $code, not $want"; }
}

srun_doctor 0 --mpi=pmix -N2 -n4
finds ok launch "4 ranks on .*, started by srun with PMIx"
finds ok clocks apart
finds ok ports "all ranks can connect"

for n in 1 3; do
    srun_doctor 1 --mpi=none -N1 -n$n
    finds fault launch "srun started $n process.*without PMI"
    grep -q -- '-> srun --mpi=pmix' out.txt || fail "no suggestion"
    finds ok directory "write and fsync" # the other checks run, once
done

cat >job.sh <<END
#!/bin/bash
"$mpirun" -n 2 --bind-to core "$tutti" doctor
END
sbatch -W -N1 -n2 --cpus-per-task=2 -o out.txt job.sh >/dev/null || { cat out.txt >&2; fail "sbatch"; }
finds ok launch "2 ranks on .*, started by mpirun"
if [ "$(nproc)" -ge 2 ]; then # else mpirun finds nothing to bind to
    finds warning cpus-per-task "cpus-per-task=2 did not reach all ranks"
fi
echo "all ok"
