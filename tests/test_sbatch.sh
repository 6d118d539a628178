#!/bin/bash
# slurm/train.sbatch and scaling.sbatch without Slurm, with fakes for the launchers,
# scontrol and the program. A job whose launcher hangs or crashes after its ranks have
# exited is requeued; the root cause of an earlier launch is ignored. The scaling job
# launches the ranks and threads of its tables, and names the fastest layout.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
script=$source/slurm/train.sbatch
at_exit 'kill -9 $(pgrep -f "$work/bin/mpirun") 2>/dev/null'
mkdir bin
export PATH=$work/bin:$PATH WORK=$work

make_fake() { # NAME: makes the fake NAME with the text on stdin
    { echo '#!/bin/bash'; cat; } >"bin/$1"
    chmod +x "bin/$1"
}
make_fake program <<'END'
echo "step 5 of $WORK/run"
END
make_fake scontrol <<'END'
echo "$*" >>"$WORK/scontrol.txt"
END
export TUTTI=program LAUNCH=mpirun LINGER=1
export SLURM_JOB_ID=7 SLURM_NTASKS=2 SLURM_JOB_NODELIST=n1
unset SLURM_ARRAY_JOB_ID SLURM_RESTART_COUNT

# job WHAT CODE REQUEUES: runs the script with the fake launcher on stdin
job() {
    local code=0 requeues
    rm -rf run/attempts.txt scontrol.txt
    make_fake mpirun
    timeout -k 5 120 bash "$script" my.conf >log.txt 2>&1 || code=$?
    requeues=$(grep -c '^requeue 7$' scontrol.txt 2>/dev/null)
    [ "$code/${requeues:-0}" = "$2/$3" ] ||
        { cat log.txt >&2; fail "$1: exit code $code, ${requeues:-0} requeues, not $2 and $3"; }
    ! pgrep -f "$work/bin/mpirun" >/dev/null || fail "$1: the launcher is still running"
    echo "ok: $1"
}

log_matches() { grep -q -- "$1" log.txt || { cat log.txt >&2; fail "no '$1'"; }; }

job "hangs after a root cause and ignores SIGTERM" 0 1 <<'END'
trap '' TERM
sleep 1
echo "root cause" >"$WORK/run/root-cause.txt"
while :; do sleep 0.2; done
END
log_matches "mpirun still runs 1 s after its ranks have exited"
log_matches "a rank died (exit code 137)"
log_matches "requeuing at step"

job "hangs, and exits with 0 on SIGTERM" 0 1 <<'END'
trap 'exit 0' TERM
sleep 1
echo "root cause" >"$WORK/run/root-cause.txt"
while :; do sleep 0.2; done
END

job "crashes in its clean-up" 0 1 <<'END'
sleep 1
echo "root cause" >"$WORK/run/root-cause.txt"
kill -SEGV $$
END
log_matches "a rank died (exit code 139)"

job "exits by itself after a root cause" 0 1 <<'END'
sleep 1
echo "root cause" >"$WORK/run/root-cause.txt"
exit 1
END
! grep -q "still runs" log.txt || fail "killed although it had exited by itself"

touch -d "1 hour ago" run/root-cause.txt
job "continues despite the root cause of another launch" 0 0 <<'END'
sleep 4
END
job "fails without a root cause" 1 0 <<'END'
exit 1
END

# the signal still reaches the launcher
make_fake mpirun <<'END'
trap 'exit 75' USR1
touch "$WORK/up"
while :; do sleep 0.2; done
END
rm -f run/attempts.txt scontrol.txt
bash "$script" my.conf >log.txt 2>&1 &
pid=$!
until [ -e up ]; do sleep 0.05; done
kill -USR1 $pid
wait $pid || { cat log.txt >&2; fail "USR1: exit code $?"; }
log_matches "job 7: stopped"
[ "$(cat scontrol.txt)" = "requeue 7" ] || fail "USR1: not requeued"
echo "ok: USR1 is forwarded"

# ---- scaling ----

# The fake program's speed depends on its threads; without a setting it has 7.
make_fake program <<'END'
threads=7
while (($# > 0)); do
    case $1 in
    run.dir=*) run=${1#run.dir=} ;;
    train.threads=*) threads=${1#*=} ;;
    train.batch=* | train.microbatches=*) echo "$1" >>"$WORK/settings.txt" ;;
    esac
    shift
done
mkdir -p "$run"
speeds=([1]=1000 [2]=3000 [4]=2000 [7]=700)
for ((step = 0; step < 5; step++)); do
    echo "{\"gradient_norm\": 1, \"tokens_per_second\": ${speeds[threads]}}"
done >"$run/metrics.jsonl"
END
for name in srun mpirun; do
    make_fake $name <<'END'
all=$*
echo "${0##*/} ${SRUN_CPUS_PER_TASK:-}: ${all%% program *}" >>"$WORK/launches.txt"
while [ "$1" != program ]; do shift; done
exec "$@"
END
done

# scaling WHAT LAUNCHES TABLE [VARIABLE=VALUE...]: runs scaling.sbatch on 2 nodes with 2 tasks
# of 2 cores each, and compares the launches and the lines of its tables
scaling() {
    local what=$1 launches=$2 table=$3
    rm -rf launches.txt settings.txt runs
    env SLURM_NTASKS=4 SLURM_NNODES=2 SLURM_CPUS_PER_TASK=2 STEPS=5 SKIP=2 ROWS=6 \
        MICROBATCHES=3 "${@:4}" bash "$source/slurm/scaling.sbatch" my.conf >log.txt 2>&1 ||
        { cat log.txt >&2; fail "$what: exit code $?"; }
    [ "$(cat launches.txt)" = "$launches" ] || { cat launches.txt >&2; fail "$what: launches"; }
    [ "$(sed '1,2d; s/  */ /g' log.txt)" = "$table" ] || { cat log.txt >&2; fail "$what: table"; }
    echo "ok: $what"
}
by_srun="--mpi=pmix --kill-on-bad-exit=1"
scaling "layouts by srun" "srun 1: $by_srun --nodes=2 --ntasks=8 --ntasks-per-node=4
srun 2: $by_srun --nodes=2 --ntasks=4 --ntasks-per-node=2
srun 4: $by_srun --nodes=2 --ntasks=2 --ntasks-per-node=1" "layouts
 nodes ranks/node threads/rank tokens/s
 2 4 1 1000
 2 2 2 3000
 2 1 4 2000
best: --ntasks-per-node=2 --cpus-per-task=2" KINDS=layout LAUNCH=srun
[ "$(sort -u settings.txt)" = "train.batch=48
train.microbatches=24" ] || fail "the layouts differ in more than ranks and threads"
scaling "layouts by mpirun" "mpirun : -n 8 --map-by ppr:4:node:OVERSUBSCRIBE:PE=1 --bind-to core
mpirun : -n 4 --map-by ppr:2:node:OVERSUBSCRIBE:PE=2 --bind-to core
mpirun : -n 2 --map-by ppr:1:node:OVERSUBSCRIBE:PE=4 --bind-to core" "layouts
 nodes ranks/node threads/rank tokens/s
 2 4 1 1000
 2 2 2 3000
 2 1 4 2000
best: --ntasks-per-node=2 --cpus-per-task=2" KINDS=layout "MPIRUN_OPTIONS=--bind-to core"
scaling "strong scaling" "mpirun : -n 2 --map-by ppr:2:node:OVERSUBSCRIBE --bind-to none
mpirun : -n 4 --map-by ppr:2:node:OVERSUBSCRIBE --bind-to none" "strong scaling
 nodes ranks batch tokens/s speed-up efficiency
 1 2 24 700 1.00 100.0 %
 2 4 24 700 1.00 50.0 %" KINDS=strong
echo "all ok"
