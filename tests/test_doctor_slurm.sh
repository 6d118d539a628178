#!/bin/bash
# `tutti doctor` under a real srun (slurm/cluster.sh): with and without PMIx, and in a job
# whose --cpus-per-task gets lost. 77: no Slurm here.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
is_open_mpi || skip "not Open MPI: srun --mpi=pmix does not start its ranks"
at_exit 'bash "$tests/slurm/cluster.sh" stop "$work/cluster"'
bash "$tests/slurm/cluster.sh" start "$work/cluster" 2 || exit
# shellcheck disable=SC1091 # made by cluster.sh
. cluster/environment

# finds LEVEL CHECK PATTERN: one line that matches in out.txt.
finds() {
    [ "$(grep -cE "^$1 +$2 .*$3" out.txt)" = 1 ] || { cat out.txt >&2; fail "$1 $2 $3"; }
    echo "ok: $1 $2: $3"
}

srun --mpi=pmix -N2 -n4 "$tutti" doctor >out.txt 2>&1 || { cat out.txt >&2; fail "srun, PMIx"; }
finds ok launch "4 ranks on .*, started by srun with PMIx"
finds ok clocks apart
finds ok ports "all ranks reach"

for n in 1 3; do
    srun --mpi=none -N1 -n$n "$tutti" doctor >out.txt 2>&1 && fail "srun without PMI: no fault"
    finds fault launch "srun started $n process.*MPI was not told"
    grep -q -- '-> srun --mpi=pmix' out.txt || fail "no cure"
    finds ok directory "safe on the disk" # the rest is looked at, once
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
