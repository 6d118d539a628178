#!/bin/bash
# Signals from a shell, a terminal or a batch system, and broken pipes and streams. A run
# stops with a checkpoint and exit code 75, or continues.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_dataset data.tutti 30 6 "0.8 0.1 0.1"
write_run_conf 1 24 8 64

# Runs a program with default actions for all signals, or with the signal $IGNORED
# ignored.
cat >default_signals.py <<'END'
import os, signal, sys
for name in "HUP INT TERM USR1 USR2 XCPU PIPE XFSZ".split():
    how = signal.SIG_IGN if name == os.environ.get("IGNORED") else signal.SIG_DFL
    signal.signal(getattr(signal, "SIG" + name), how)
os.execvp(sys.argv[1], sys.argv[1:])
END
with_default_signals() { exec python3 default_signals.py "$@"; }

succeeds() { # WHAT COMMAND...
    local what=$1
    shift
    ("$@") >log.txt 2>&1 || { cat log.txt >&2; fail "$what: exit code $?"; }
}

has_step() { grep -q "\"step\": $2,.*gradient_norm" "runs/$1/metrics.jsonl" 2>/dev/null; }

wait_for() { # RUN STEP PID
    until has_step "$1" "$2"; do
        kill -0 "$3" 2>/dev/null || { cat log.txt >&2; fail "$1: step $2 not reached"; }
        sleep 0.02
    done
}

stopped_with_checkpoint() { # RUN CODE WHAT: requires CODE = 75 and a checkpoint
    local made
    [ "$2" = 75 ] || { cat log.txt >&2; fail "$3: exit code $2, not 75"; }
    made=$(echo "runs/$1"/checkpoints/*.h5)
    [ -e "${made##* }" ] || { cat log.txt >&2; fail "$3: no checkpoint"; }
}

resumes() { # RUN WHAT
    succeeds "$2: resume" "$tutti" train run.conf --resume --set run.dir="runs/$1"
    same_metrics "$1" whole "$2"
}

succeeds "the whole run" "$tutti" train run.conf
slow=(--inject "slow@*:1:0.2")

# ---- signals to a single process ----

for signal in HUP USR2 XCPU TERM; do
    run=$signal
    (with_default_signals "$tutti" train run.conf --set run.dir=runs/$run "${slow[@]}") >log.txt 2>&1 &
    job=$!
    wait_for $run 2 "$job"
    kill -$signal "$job"
    wait "$job" && code=0 || code=$?
    stopped_with_checkpoint $run "$code" "$signal"
    grep -q "^tutti: stopped by SIG$signal after step [0-9]* with checkpoint " log.txt ||
        { cat log.txt >&2; fail "$signal: not named"; }
    resumes $run "$signal"
done

# before the first step, of a new run and of a resumed one
for how in new resumed; do
    (with_default_signals "$tutti" train run.conf --resume --set run.dir=runs/early --inject slow@0:1:0.5) \
        >log.txt 2>&1 &
    job=$!
    until grep -q . runs/early/lock 2>/dev/null; do # set-up has begun
        ! has_exited "$job" || { cat log.txt >&2; fail "HUP while setting up, $how: no lock"; }
        sleep 0.002
    done
    kill -HUP "$job"
    wait "$job" && code=0 || code=$?
    stopped_with_checkpoint early "$code" "HUP while setting up, $how"
done
resumes early "HUP while setting up"

# while samples are written: the run stops after the next step, with all of them or none
(with_default_signals "$tutti" train run.conf --set run.dir=runs/samples --set run.samples=20 \
    --set run.sample_seconds=200 "${slow[@]}") >log.txt 2>&1 &
job=$!
until compgen -G "runs/samples/metrics.jsonl" >/dev/null &&
    grep -q '"train_loss"' runs/samples/metrics.jsonl; do
    ! has_exited "$job" || { cat log.txt >&2; fail "HUP while samples are written: no epoch"; }
    sleep 0.005
done
kill -HUP "$job"
wait "$job" && code=0 || code=$?
stopped_with_checkpoint samples "$code" "HUP at the end of an epoch"
for sample in runs/samples/samples/*.mid; do
    [ ! -e "$sample" ] || "$tutti" inspect "$sample" >log.txt 2>&1 || fail "$sample: $(cat log.txt)"
done
[ -z "$(find runs/samples -name '*.partial')" ] || fail "HUP: a partial sample is left"
case $(find runs/samples/samples -name '*.mid' | wc -l) in
0 | 20) ;;
*) fail "HUP: not all samples of the epoch" ;;
esac
resumes samples "HUP while samples are written"

# nohup, also with Open MPI on UCX, which installs a SIGHUP handler
(export OMPI_MCA_pml=ucx,ob1 OMPI_MCA_pml_ucx_tls=any OMPI_MCA_pml_ucx_devices=any
    IGNORED=HUP with_default_signals "$tutti" train run.conf --set run.dir=runs/nohup "${slow[@]}") >log.txt 2>&1 &
job=$!
wait_for nohup 2 "$job"
kill -HUP "$job"
wait "$job" || { cat log.txt >&2; fail "nohup: stopped by SIGHUP: $?"; }
same_metrics nohup whole "SIGHUP under nohup"

# an MPI that installs handlers when it starts
handlers=$programs/libmpi_signal_handlers.so
[ -e "$handlers" ] || fail "$handlers is missing"
for signal in TERM HUP USR2 nohup; do
    ignored=""
    [ $signal = nohup ] && ignored=HUP
    (IGNORED=$ignored with_default_signals env LD_PRELOAD="$handlers" \
        ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        "$tutti" train run.conf --set run.dir=runs/handlers-$signal "${slow[@]}") >log.txt 2>&1 &
    job=$!
    wait_for handlers-$signal 2 "$job"
    kill -${ignored:-$signal} "$job"
    wait "$job" && code=0 || code=$?
    if [ $signal = nohup ]; then
        [ "$code" = 0 ] || { cat log.txt >&2; fail "handlers of MPI, nohup: exit code $code"; }
        same_metrics handlers-nohup whole "SIGHUP under nohup, with MPI's handlers"
    else
        stopped_with_checkpoint handlers-$signal "$code" "$signal, with a handler of MPI"
        resumes handlers-$signal "$signal, with a handler of MPI"
    fi
done

# the CPU time limit: SIGXCPU is repeated every second
(ulimit -S -t 2 && with_default_signals "$tutti" train run.conf --set run.dir=runs/cpu \
    --set train.epochs=100000 --set run.checkpoint_every=100000) >log.txt 2>&1
code=$?
stopped_with_checkpoint cpu $code "a limit of processor time"
grep -q "stopped by SIGXCPU" log.txt || fail "a CPU time limit: SIGXCPU not named"
echo "ok: a CPU time limit"

# a second Ctrl-C ends the run at once
(with_default_signals "$tutti" train run.conf --set run.dir=runs/twice --inject slow@0:2:30) >log.txt 2>&1 &
job=$!
wait_for twice 1 "$job"
sleep 0.2
kill -INT "$job"
# pending signals are merged: wait until the first is delivered
is_delivered() { ! grep -q '^ShdPnd:.*[2367abefABEF]$' "/proc/$job/status"; }
wait_until "the delivery of SIGINT" is_delivered
sleep 0.3
kill -INT "$job"
wait "$job" && code=0 || code=$?
[ $code = 130 ] || { cat log.txt >&2; fail "a second SIGINT: exit code $code"; }
echo "ok: a second SIGINT"

# ---- a signal to one rank of several: named once ----

"$mpirun" -n 2 "$tutti" train run.conf --set run.dir=runs/one "${slow[@]}" >log.txt 2>&1 &
launcher=$!
wait_for one 2 $launcher
pid=()
find_ranks $launcher
kill -USR2 "${pid[1]}"
wait $launcher && code=0 || code=$?
stopped_with_checkpoint one $code "USR2 to rank 1"
[ "$(grep -c "stopped by SIGUSR2 after step" log.txt)" = 1 ] ||
    { cat log.txt >&2; fail "USR2 to rank 1: not named once"; }
resumes one "USR2 to rank 1"

passed_on=USR2
is_open_mpi || passed_on=USR1 # SIGUSR2 kills MPICH's launcher
"$mpirun" -n 2 "$tutti" train run.conf --set run.dir=runs/all "${slow[@]}" >log.txt 2>&1 &
launcher=$!
wait_for all 2 $launcher
kill -$passed_on $launcher
wait $launcher && code=0 || code=$?
launcher_stopped $code && code=75
stopped_with_checkpoint all $code "$passed_on to mpirun"
grep -q "stopped by SIG$passed_on after step" log.txt || fail "$passed_on to mpirun: not named"
resumes all "$passed_on to mpirun"

# ---- pipes ----

# Ctrl-C during `train 2>&1 | tee log`: the whole group gets the signal, and tee exits
# first.
mkfifo pipe
(with_default_signals "$tutti" train run.conf --set run.dir=runs/tee "${slow[@]}") >pipe 2>&1 &
job=$!
head -n 1 pipe >log.txt
wait_for tee 2 "$job"
kill -INT "$job"
wait "$job" && code=0 || code=$?
stopped_with_checkpoint tee $code "Ctrl-C, with the pipe broken"
resumes tee "Ctrl-C, with the pipe broken"

{ (with_default_signals "$tutti" train run.conf --set run.dir=runs/head) 2>&1; echo $? >code.txt; } | head -n 1 >log.txt
[ "$(cat code.txt)" = 0 ] || fail "train | head: exit code $(cat code.txt)"
same_metrics head whole "train | head"

{
    (with_default_signals "$tutti" preprocess corpus -o piped.tutti --shards 6 --split "0.8 0.1 0.1") 2>&1
    echo $? >code.txt
} | true
[ "$(cat code.txt)" = 0 ] || fail "preprocess | true: exit code $(cat code.txt)"
diff -r data.tutti piped.tutti >&2 || fail "preprocess | true: another dataset"
{
    (with_default_signals "$tutti" generate runs/whole -o piped.mid --count 3 --seconds 2) 2>&1
    echo $? >code.txt
} | true
[ "$(cat code.txt)" = 0 ] && [ -e piped-3.mid ] || fail "generate | true: $(cat code.txt)"
# the same with sockets, as under inetd or some ssh servers
cat >closed_socket.py <<'END'
import os, socket, subprocess, sys
if sys.argv[1] == "unix":
    ours, theirs = socket.socketpair()
else:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs = listener.accept()[0]
ours.close()
code = subprocess.run(["python3", "default_signals.py", *sys.argv[2:]], stdout=theirs, stderr=theirs,
                      close_fds=True).returncode
sys.exit(code if code >= 0 else 128 - code)
END
for kind in unix tcp; do
    python3 closed_socket.py $kind "$tutti" preprocess corpus -o $kind.tutti --shards 6 \
        --split "0.8 0.1 0.1" || fail "preprocess into a $kind socket: exit code $?"
    diff -r data.tutti $kind.tutti >&2 || fail "preprocess into a $kind socket: another dataset"
    python3 closed_socket.py $kind "$tutti" generate runs/whole -o $kind.mid --count 3 --seconds 2 ||
        fail "generate into a $kind socket: exit code $?"
    [ -e $kind-3.mid ] || fail "generate into a $kind socket"
    python3 closed_socket.py $kind "$tutti" train run.conf --set run.dir=runs/$kind ||
        fail "train into a $kind socket: exit code $?"
    same_metrics $kind whole "train into a $kind socket"
done
python3 closed_socket.py unix "$tutti" generate runs/whole -o - --seconds 2 2>output.txt &&
    fail "generate -o - into a socket without a reader: exit code 0"
echo "ok: sockets without a reader"
# a command that only prints is killed by SIGPIPE, like any filter
{ (with_default_signals "$tutti" inspect runs/whole --json); echo $? >code.txt; } | true
[[ $(cat code.txt) =~ ^(141|0)$ ]] || fail "inspect | true: exit code $(cat code.txt)"
echo "ok: preprocess, generate and inspect into broken pipes"

# ---- streams that are closed or full ----

# no file, pipe or socket of the program must reuse the log's descriptor
(with_default_signals "$tutti" train run.conf --set run.dir=runs/closed "${slow[@]}" 0<&- 1>&- 2>&-) &
job=$!
wait_for closed 2 "$job"
for stream in 0 1 2; do
    [ "$(readlink /proc/$job/fd/$stream)" = /dev/null ] ||
        fail "closed stream $stream is $(readlink /proc/$job/fd/$stream)"
done
wait "$job" || fail "all streams closed: exit code $?"
same_metrics closed whole "all three streams closed"
(with_default_signals "$tutti" train run.conf --set run.dir=runs/full) >/dev/full 2>&1 || fail "a full log: $?"
same_metrics full whole "a log on a full disk"
if [ "$("$tutti" inspect runs/whole 2>/dev/full >/dev/full; echo $?)" != 1 ]; then
    fail "a result lost to a full disk is not a failure"
fi
echo "ok: streams that are closed or full"

# A file size limit prevents the checkpoint but does not kill the process. It is set after
# MPI, which needs large files, has started; the log goes through a pipe, as its size
# would count.
(with_default_signals "$tutti" train run.conf --set run.dir=runs/limited "${slow[@]}") >pipe 2>&1 &
job=$!
cat pipe >log.txt &
reader=$!
wait_for limited 2 "$job"
prlimit --pid "$job" --fsize=1000 || fail "prlimit"
wait "$job" && code=0 || code=$?
wait $reader
[ $code = 1 ] && grep -q "warning: epoch-0001.h5 is not written.*File too large" log.txt &&
    grep -q "metrics.jsonl: lines are missing: .*File too large" log.txt ||
    { cat log.txt >&2; fail "a file size limit: exit code $code"; }
echo "ok: a file size limit"
echo "all ok"
