#!/bin/bash
# slurm/train.sbatch without Slurm, with fakes for mpirun, scontrol and the program. A job
# whose launcher hangs or crashes after its ranks have exited is requeued; the root cause
# of an earlier launch is ignored.
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
echo "all ok"
