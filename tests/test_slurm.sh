#!/bin/bash
# The job scripts on a private Slurm (slurm/cluster.sh): six nodes on this host, two for
# each group of scenarios. After any disturbance of a job its run ends with every step
# made once and with the weights of an undisturbed run on one rank without Slurm. Skipped
# without Slurm.
#   bash test_slurm.sh TUTTI SOURCE_DIRECTORY [SCENARIO...]
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ "${TUTTI_TEST_SLURM:-yes}" != no ] || skip "TUTTI_TEST_SLURM=no"
shift 2
is_open_mpi || skip "not Open MPI: srun --mpi=pmix does not start its ranks"
at_exit 'bash "$tests/slurm/cluster.sh" stop "$work/cluster"'
bash "$tests/slurm/cluster.sh" start "$work/cluster" 6 || exit
# shellcheck disable=SC1091 # made by cluster.sh
. cluster/environment
export SLURM_OVERLAP=1
export OMPI_MCA_odls_base_sigkill_timeout=2 # seconds between mpirun's SIGTERM and SIGKILL

# ---- the undisturbed run ----

make_dataset data.tutti 60 16 "0.8 0.1 0.1"
cat >small.conf <<END
[data]
dataset = data.tutti
[model]
layers = 1
hidden = 24
embedding = 8
dropout = 0.25
[train]
epochs = 10
batch = 16
microbatches = 8
sequence_length = 32
warmup_steps = 10
learning_rate = 0.01
[run]
dir = runs/alone
samples = 0
keep_checkpoints = 2
hash_steps = yes
END
"$tutti" train small.conf >alone.txt 2>&1 || { cat alone.txt >&2; fail "train"; }
[ "$(wc -l <runs/alone/metrics.jsonl)" -ge 90 ] || fail "the reference has too few lines"

# `first_attempt`: runs tutti; in the first attempt of a job, with the additional
# arguments $FIRST_ATTEMPT.
cat >first_attempt <<END
#!/bin/bash
if [[ \$* != *--where* && \${SLURM_RESTART_COUNT:-0} == 0 ]]; then set -- "\$@" \$FIRST_ATTEMPT; fi
exec $(printf %q "$tutti") "\$@"
END
chmod +x first_attempt
slow="--inject slow@*:1:0.5" # 100 steps as in the reference would take a minute
export FIRST_ATTEMPT='' TUTTI=$work/first_attempt

# ---- helpers ----


job_field() { scontrol show job -o "$1" | tail -n 1 | grep -oE "(^| )$2=[^ ]*" | head -n 1 | cut -d= -f2; }

step_count() { sed -n '/"gradient_norm"/p' "$1/metrics.jsonl" 2>/dev/null | wc -l; }

# until_true SECONDS WHAT COMMAND...: polls until the command succeeds; three times as
# long on a busy machine.
until_true() {
    local end=$((SECONDS + 3 * $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < end)) || { print_diagnostics; fail "timeout: $what"; }
        sleep 0.2
    done
}

# Prints diagnostics after a failure.
print_diagnostics() {
    squeue >&2
    tail -n 15 "$work"/*.log >&2
    grep -hE 'error' "$work"/cluster/slurm*.log | tail -n 8 >&2
}

submit() { sbatch --parsable "$@" || { print_diagnostics; fail "sbatch $*"; }; }

job_ended() { [[ $(job_field "$1" JobState) =~ COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|PREEMPTED ]]; }

job_state_is() { [ "$(job_field "$1" JobState)" = "$2" ]; }

running_after() { [ "$(job_field "$1" JobState)" = RUNNING ] && [ "$(step_count "$2")" -ge "$3" ]; }

# fail_with_restarts RUN MESSAGE: fails for too many restarts; prints the whole log for
# the reason.
fail_with_restarts() {
    print_diagnostics
    cat "$work/${1#runs/}.log" "$1/attempts.txt" >&2
    fail "$2"
}

# completes JOB RUN RESTARTS WHAT: requires that the job completes and every step equals
# the reference's.
completes() {
    local restarts
    until_true 120 "the end of $4" job_ended "$1"
    restarts=$(job_field "$1" Restarts)
    [ "$(job_field "$1" JobState)" = COMPLETED ] ||
        { print_diagnostics; fail "$4: job $1 ended as $(job_field "$1" JobState)"; }
    [[ $restarts =~ ^($3)$ ]] || fail_with_restarts "$2" "$4: $restarts restarts, not $3"
    deterministic_metrics "$2" >"$2.actual"
    deterministic_metrics runs/alone | diff - "$2.actual" >"$2.diff" ||
        { head -n 4 "$2.diff" >&2; tell; fail "$4: differs from the run without Slurm"; }
    echo "ok: $4 ($restarts restarts, ${SECONDS} s)"
}

has_line() { grep -qE -- "$2" "$1" || { cat "$1" >&2; fail "$1 has no line '$2'"; }; }

# train ARGUMENT... -- SETTING...: submits a job on two nodes and four ranks; sets $job.
train() {
    local options=()
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    job=$(submit -w "$nodes" --nodes=2 --ntasks-per-node=2 --output=%x.log "${options[@]}" \
        "$source/slurm/train.sbatch" small.conf "$@") || exit 1
}

# ---- scenarios, each on the two nodes $nodes ----

# Both launchers, from preprocess to the end of training.
pipeline() {
    local one two
    cp -r corpus midi
    one=$(submit -w "$nodes" --nodes=2 --ntasks-per-node=2 --output=preprocess.log \
        "$source/slurm/preprocess.sbatch" corpus -o again.tutti --shards 16 \
        --split "0.8 0.1 0.1") || exit 1
    until_true 90 "the end of preprocess" job_ended "$one"
    diff -r data.tutti again.tutti >&2 || { print_diagnostics; fail "preprocess: the datasets differ"; }
    echo "ok: preprocess ($SECONDS s)"
    train --job-name=end-srun -- --set run.dir=runs/end-srun
    one=$job
    LAUNCH=mpirun train --job-name=end-mpirun -- --set run.dir=runs/end-mpirun
    two=$job
    completes "$one" runs/end-srun 0 "train with srun"
    completes "$two" runs/end-mpirun 0 "train with mpirun"
}

# A time limit of one minute, and a signal well before it.
time_limit() {
    FIRST_ATTEMPT=$slow train --job-name=limit --time=1 --signal=B:USR1@30 -- --set run.dir=runs/limit
    completes "$job" runs/limit 1 "a time limit"
    has_line limit.log "stopped by SIG[A-Z0-9]* after step"
    has_line limit.log "requeuing at step"
}

preempted() {
    local one two
    FIRST_ATTEMPT=$slow train --job-name=preempt-srun -- --set run.dir=runs/preempt-srun
    one=$job
    LAUNCH=mpirun FIRST_ATTEMPT=$slow train --job-name=preempt-mpirun -- \
        --set run.dir=runs/preempt-mpirun
    two=$job
    until_true 60 "step 12" running_after "$one" runs/preempt-srun 12
    until_true 60 "step 12" running_after "$two" runs/preempt-mpirun 12
    submit -p high -w "$nodes" --nodes=2 --exclusive --job-name=urgent --output=urgent.log \
        --wrap "sleep 1" >/dev/null
    completes "$one" runs/preempt-srun "1|2" "preempted, srun"
    completes "$two" runs/preempt-mpirun "1|2" "preempted, mpirun"
    has_line preempt-srun.log "stopped by SIG[A-Z0-9]* after step"
    has_line preempt-mpirun.log "stopped by SIG[A-Z0-9]* after step"
}

signalled() {
    local launch=$1 how=$2 name=signal-$1
    LAUNCH=$launch FIRST_ATTEMPT=$slow train --job-name="$name" -- --set run.dir="runs/$name"
    until_true 60 "step 7" running_after "$job" "runs/$name" 7
    # shellcheck disable=SC2086 # options
    scancel $how "$job"
    completes "$job" "runs/$name" 1 "scancel $how, $launch"
}

# Loses the node without rank 0, then the one with it. The job waits for the node.
node_lost() {
    local node
    for node in "${nodes#*,}" "${nodes%,*}"; do
        FIRST_ATTEMPT=$slow train --job-name="lost-$node" -- --set run.dir="runs/lost-$node"
        until_true 60 "step 12" running_after "$job" "runs/lost-$node" 12
        scontrol update "NodeName=$node" State=DOWN Reason=test
        until_true 60 "the requeue" job_state_is "$job" PENDING
        scontrol update "NodeName=$node" State=RESUME
        completes "$job" "runs/lost-$node" 1 "a lost node, $node"
    done
}

# A rank dies or hangs in the first attempt; then one dies in every attempt.
death() {
    local launch
    for launch in srun mpirun; do
        LAUNCH=$launch FIRST_ATTEMPT="--inject kill@3:25" train "--job-name=death-$launch" -- \
            --set "run.dir=runs/death-$launch"
        # on a busy machine the next launch may fail, too, and is retried
        completes "$job" "runs/death-$launch" "1|2" "death of a rank, $launch"
        [ "$(grep -c "the launch failed, or a rank died" "death-$launch.log")" = \
            "$(job_field "$job" Restarts)" ] ||
            fail_with_restarts "runs/death-$launch" "death of a rank, $launch: other restarts"
    done
    FIRST_ATTEMPT="--inject stop@2:25" train --job-name=hang -- --set run.dir=runs/hang \
        --set run.hang_timeout_seconds=5
    completes "$job" runs/hang 1 "a rank that hangs"
    has_line hang.log "root cause: rank 2"
}

crash_loop() {
    train --job-name=loop -- --set run.dir=runs/loop --inject kill@1:14
    until_true 90 "the end of a crash loop" job_ended "$job"
    [ "$(job_field "$job" JobState)" = FAILED ] || { print_diagnostics; fail "loop: $(job_field "$job" JobState)"; }
    # more than 2 if the first deaths came before the checkpoint of step 10 was written
    [[ $(job_field "$job" Restarts) == [2-4] ]] ||
        fail_with_restarts runs/loop "loop: $(job_field "$job" Restarts) restarts"
    # step 0 if the disk is too slow for a checkpoint before the rank dies
    has_line loop.log "not requeued: the last two restarts have made no checkpoint after step (0|10)\."
    echo "ok: a crash loop ends ($SECONDS s)"
}

# Permanent failures are not requeued.
failure() {
    train --job-name=wrong -- --set run.dir=runs/wrong --set train.batch=13
    until_true 60 "the end" job_ended "$job"
    [ "$(job_field "$job" JobState)/$(job_field "$job" Restarts)" = FAILED/0 ] || { print_diagnostics; fail "wrong"; }
    FIRST_ATTEMPT=$slow train --job-name=cancelled -- --set run.dir=runs/cancelled
    until_true 60 "step 3" running_after "$job" runs/cancelled 3
    scancel "$job"
    until_true 60 "the end" job_ended "$job"
    sleep 1
    [ "$(job_field "$job" JobState)/$(job_field "$job" Restarts)" = CANCELLED/0 ] || { print_diagnostics; fail "cancelled"; }
    ls runs/cancelled/checkpoints/step-*.h5 >/dev/null || { print_diagnostics; fail "cancelled: no checkpoint"; }
    echo "ok: failed and cancelled jobs are not requeued ($SECONDS s)"
}

sweep() {
    # shellcheck disable=SC2054 # the commas belong to the settings
    local grid=(train.learning_rate=0.01,0.02 model.hidden=16,24) index array
    export RUNS=runs/sweep TRAIN=$source/slurm/train.sbatch
    bash "$source/slurm/sweep.sbatch" small.conf "${grid[@]}" >sweep.txt || fail "sweep: the list"
    has_line sweep.txt '^2: small.conf --set train.learning_rate=0.02 --set model.hidden=16 '
    has_line sweep.txt '^submit: sbatch --array=0-3 '
    array=$(FIRST_ATTEMPT=$slow submit -w "${nodes%,*}" --array=0-3 --ntasks-per-node=1 --output=sweep-%a.log \
        "$source/slurm/sweep.sbatch" small.conf "${grid[@]}") || exit 1
    until_true 60 "step 12" running_after "${array}_2" runs/sweep/002 12
    for index in 0 1 2 3; do scancel --batch --signal=USR1 "${array}_$index"; done
    for index in 0 1 2 3; do
        until_true 60 "the end of the sweep" job_ended "${array}_$index"
        [ "$(job_field "${array}_$index" JobState)" = COMPLETED ] || { print_diagnostics; fail "sweep $index"; }
        [ "$(job_field "${array}_$index" Restarts)" = 1 ] || { print_diagnostics; fail "sweep $index: restarts"; }
        # the same settings without Slurm
        # shellcheck disable=SC2046 # words of the list
        "$tutti" train $(sed -n "s/^$index: //p" sweep.txt) --set "run.dir=runs/plain-$index" \
            >plain.txt 2>&1 || { cat plain.txt >&2; fail "plain $index"; }
        deterministic_metrics "runs/plain-$index" >plain.txt
        deterministic_metrics "runs/sweep/00$index" | cmp - plain.txt >&2 || { print_diagnostics; fail "sweep $index"; }
    done
    "$tutti" inspect runs/sweep/* >table.txt || fail "the table of the sweep"
    cat table.txt
    [ "$(wc -l <table.txt)" = 5 ] || fail "sweep: the table does not have 5 lines"
    has_line table.txt '^run +model.hidden +train.learning_rate +epoch +step +valid loss '
    has_line table.txt '^runs/sweep/002 +16 +0.02 +10/10 '
    echo "ok: sweep ($SECONDS s)"
}

scaling() {
    local one launch
    for launch in srun mpirun; do
        one=$(RUNS=runs/scaling LAUNCH=$launch STEPS=8 SKIP=2 ROWS=4 submit -w "$nodes" --nodes=2 \
            --ntasks-per-node=2 "--output=scaling-$launch.log" "$source/slurm/scaling.sbatch" \
            small.conf) || exit 1
        until_true 90 "the end of scaling" job_ended "$one"
        [ "$(job_field "$one" JobState)" = COMPLETED ] || { print_diagnostics; fail "scaling"; }
        cat "scaling-$launch.log"
        [ "$(grep -cE '^ +[12] +[24] +(8|16) +[0-9]+ +[0-9.]+ +[0-9.]+ %$' \
            "scaling-$launch.log")" = 4 ] || { print_diagnostics; fail "scaling: the table"; }
        [ "$(grep -cE '^ +2 +(2 +1|1 +2) +[0-9]+$' "scaling-$launch.log")" = 2 ] &&
            grep -qE '^best: --ntasks-per-node=(2 --cpus-per-task=1|1 --cpus-per-task=2)$' \
                "scaling-$launch.log" || { print_diagnostics; fail "scaling: the layouts"; }
    done
    echo "ok: scaling ($SECONDS s)"
}

generate() {
    local array index
    array=$(COUNT=2 LENGTH=4 SEED=7 OUT=music/piece.mid submit -w "${nodes%,*}" --array=0-1 \
        --output=generate-%a.log "$source/slurm/generate.sbatch" runs/alone) || exit 1
    for index in 0 1; do
        until_true 60 "the end of generate" job_ended "${array}_$index"
        "$tutti" generate runs/alone -o alone.mid --count 2 --seconds 4 \
            --seed $((7 + index)) >/dev/null 2>&1 || fail "generate"
        cmp alone-2.mid "music/piece-$index-2.mid" || { print_diagnostics; fail "generate: different music"; }
    done
    echo "ok: generate ($SECONDS s)"
}

# ---- groups of scenarios, in parallel ----

undisturbed() { pipeline && generate && sweep && scaling; }
preempted_or_lost() { preempted && node_lost; }
stopped() { signalled srun "--signal=USR1" && signalled mpirun "--batch --signal=USR1" && failure; }
crashed() { death && crash_loop; }

nodes=n1,n2
if [ $# -gt 0 ]; then
    for scenario in "$@"; do eval "$scenario" || exit 1; done
    exit
fi
groups=()
for group in "n1,n2 undisturbed" "n1,n2 time_limit" "n3,n4 preempted_or_lost" "n5,n6 stopped" "n5,n6 crashed"; do
    nodes=${group% *}
    (${group#* }) &
    groups+=($!)
done
code=0
for group in "${groups[@]}"; do wait "$group" || code=1; done
exit $code
