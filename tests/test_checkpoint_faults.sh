#!/bin/bash
# Checkpoints in the background: a failing disk, or a directory that disappears or becomes
# read-only, only causes a warning; a time limit can stop the run after any step without
# changing its result.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_dataset data.tutti 30 6 "0.8 0.1 0.1"
write_run_conf 2 24 8 64
on 0 train run.conf --inject slow@0:1:0.1 >log.txt 2>&1 || { cat log.txt >&2; fail "train"; }
steps=$(grep -c '"gradient_norm"' runs/whole/metrics.jsonl)
[ "$steps" -ge 8 ] && [ "$steps" -le 20 ] || fail "$steps steps"
number='[0-9.]*[1-9][0-9.e-]*' # not 0
# On a slow disk possibly no checkpoint of the epoch has been written at its end.
grep '"train_loss"' runs/whole/metrics.jsonl | tail -1 |
    grep -q "\"checkpoint_pause_seconds\": $number, \"checkpoint_seconds\": [0-9]" ||
    { tail -1 runs/whole/metrics.jsonl >&2; fail "no cost of checkpoints in the metrics"; }
grep -q "^checkpoints paused training for [0-9.]* s at most, and took [0-9.]* s" log.txt ||
    fail "cost not reported"

# ---- a time limit after every step, on other ranks each time ----

# Each start makes one step, or completes the epoch that the previous one left open.
starts=0 code=75
while [ $code = 75 ]; do
    on $((starts % 4)) train run.conf --resume --set run.dir=runs/timed \
        --set run.time_limit_minutes=0.0001 >log.txt 2>&1 && code=0 || code=$?
    starts=$((starts + 1))
    [ $code = 0 ] || [ $code = 75 ] || { cat log.txt >&2; fail "run.time_limit_minutes: code $code"; }
    [ $code = 0 ] || grep -q "^tutti: stopped before the time limit after step " log.txt ||
        { cat log.txt >&2; fail "run.time_limit_minutes: not reported"; }
    [ $starts -lt $((steps + 5)) ] || break
done
[ $code = 0 ] && [ $starts = $((steps + 2)) ] || fail "run.time_limit_minutes: $starts starts, $code"
same_metrics timed whole "$starts starts for $steps steps"

# a distant limit changes nothing
on 2 train run.conf --set run.dir=runs/far --set run.time_limit_minutes=600 >log.txt 2>&1 ||
    { cat log.txt >&2; fail "a distant time limit"; }
same_metrics far whole "a distant time limit"

# ---- disks ----

# The first epoch's checkpoint is requested right after its last step, at any speed of the
# disk.
disk_fault() { # FAULT MESSAGE
    on 2 train run.conf --set "run.dir=runs/$1" --inject "$1@0:$((steps / 2))" >log.txt 2>&1 ||
        { cat log.txt >&2; fail "$1"; }
    grep -q "warning: epoch-0001.h5 is not written, training continues; .*$2" log.txt ||
        { cat log.txt >&2; fail "$1 is not reported"; }
    [ "$(grep -c 'is not written' log.txt)" = 1 ] || fail "more than the faulty checkpoint was not written"
    [ -z "$(find "runs/$1" -name '*.partial')" ] || fail "partial files are left"
    same_metrics "$1" whole "$1"
}
disk_fault full-disk "No space left"
disk_fault io-error "Input/output error"

# the last checkpoint fails: exit code 1, the previous one remains
on 2 train run.conf --set run.dir=runs/last --inject full-disk@0:"$steps" >log.txt 2>&1 &&
    fail "a missing last checkpoint is not reported"
grep -q '^tutti: runs/last: the last checkpoint could not be written; epoch-0001.h5 is' \
    log.txt || { cat log.txt >&2; fail "the last checkpoint's failure"; }
on 3 train run.conf --resume --set run.dir=runs/last >log.txt 2>&1 || fail "resume"
same_metrics last whole "a full disk at the last checkpoint"

# The run is suspended while its directory is changed, so the timing does not matter.
"$tutti" train run.conf --set run.dir=runs/gone --set run.checkpoint_minutes=0.00001 \
    --inject slow@0:1:0.6 >log.txt 2>&1 &
pid=$!
wait_for_line runs/gone/metrics.jsonl '"step": 2,'
kill -STOP $pid
mv runs/gone/checkpoints runs/gone/elsewhere
kill -CONT $pid
wait_for_line log.txt 'warning: [a-z]*-0.*No such file'
kill -STOP $pid
mv runs/gone/elsewhere runs/gone/checkpoints
kill -CONT $pid
wait $pid || { cat log.txt >&2; fail "a directory missing temporarily"; }
[ -e runs/gone/checkpoints/epoch-0002.h5 ] || fail "no checkpoint after it was back"
same_metrics gone whole "a directory missing temporarily"

if unshare -rm true 2>/dev/null; then
    cat >read_only.sh <<END
set -ex
"$tutti" train run.conf --set run.dir=runs/ro --set run.checkpoint_minutes=0.00001 \
    --inject slow@0:1:0.6 >log.txt 2>&1 &
until grep -q '"step": 2,' runs/ro/metrics.jsonl; do sleep 0.05; done
kill -STOP \$!
mount --bind runs/ro/checkpoints runs/ro/checkpoints
mount -o remount,ro,bind runs/ro/checkpoints
kill -CONT \$!
until grep -q 'warning: [a-z]*-0.*Read-only file system' log.txt; do sleep 0.05; done
kill -STOP \$!
umount -l runs/ro/checkpoints
kill -CONT \$!
wait \$!
END
    timeout 300 unshare -rm bash read_only.sh 2>error.txt ||
        { tail -3 error.txt >&2; cat log.txt >&2; fail "a read-only directory"; }
    same_metrics ro whole "a directory read-only temporarily"
fi

# ---- death while writing a checkpoint ----

for fault in kill-save torn; do
    on 2 train run.conf --set run.dir=runs/$fault --set run.checkpoint_minutes=0.00001 \
        --inject slow@0:1:0.1 --inject $fault@0:$((steps / 2 + 1)) >log.txt 2>&1 &&
        fail "$fault has no effect"
    newest=$(readlink runs/$fault/checkpoints/latest)
    on 3 train run.conf --resume --set run.dir=runs/$fault >log.txt 2>&1 ||
        { cat log.txt >&2; fail "resume after $fault"; }
    skipped=$(grep -c "checkpoint skipped: .*$newest: .*truncated" log.txt)
    expected=0
    [ $fault != torn ] || expected=1
    [ "$skipped" = $expected ] ||
        { cat log.txt >&2; fail "$fault: $skipped skipped checkpoints reported"; }
    [ -z "$(find runs/$fault -name '*.partial')" ] || fail "$fault: partial files are left"
    same_metrics $fault whole "$fault"
done
echo "all ok"
