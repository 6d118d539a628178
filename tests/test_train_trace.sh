#!/bin/bash
# `tutti train --trace`: one file of valid JSON, even if the run is killed or fails, with
# all ranks on one clock; and the line with the time breakdown of an epoch.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
command -v python3 >/dev/null || skip "no python3"
make_run lstm

# check FILE RANKS MIN_STEPS: checks the invariants of every trace, and for at least
# MIN_STEPS steps.
check() {
    python3 - "$@" <<'END' || fail "trace $1"
import json, sys, collections
path, ranks, min_steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
events = json.load(open(path))["traceEvents"]
spans = [e for e in events if e["ph"] == "X"]
names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
assert sorted(names) == list(range(ranks)), names
assert all(names[r].startswith(f"rank {r} (") for r in names), names
threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
by_thread = collections.defaultdict(list)
for e in spans:
    assert e["ts"] >= 0 and e["dur"] >= 0, e
    by_thread[e["pid"], e["tid"]].append(e)
assert set(threads) == set(by_thread), (threads, list(by_thread))
assert all(threads[r, 0] == "training" for r in range(ranks)), threads
slack = 0.01  # microseconds: both times are rounded to a nanosecond
for thread, spans_of in by_thread.items():
    spans_of.sort(key=lambda e: (e["ts"], e["dur"]))
    for a, b in zip(spans_of, spans_of[1:]):
        assert a["ts"] + a["dur"] <= b["ts"] + slack, (thread, a, b)
begin = min(e["ts"] for e in spans)
end = max(e["ts"] + e["dur"] for e in spans)
# the events of a training thread are contiguous: their sum is the rank's wall time
for r in range(ranks):
    own = by_thread[r, 0]
    total = sum(e["dur"] for e in own)
    span = own[-1]["ts"] + own[-1]["dur"] - own[0]["ts"]
    assert abs(total - span) <= 1e-3 * span + slack * len(own), (r, total, span)
    # one launch and one clock: all ranks begin and end at about the same time
    assert span >= 0.5 * (end - begin), (r, span, end - begin)
# each step: read, forward, backward, optimizer; the same steps on all ranks
order = ["read", "forward", "backward", "optimizer"]
rank_steps = []
for r in range(ranks):
    first = collections.defaultdict(dict)
    for e in by_thread[r, 0]:
        first[e["args"]["step"]].setdefault(e["name"], e["ts"])
    steps = [s for s in sorted(first) if s > 0 and "forward" in first[s]]
    if min_steps == 0 and "optimizer" not in first[steps[-1]]:
        steps.pop()  # the step that failed
    for s in steps:
        times = [first[s][name] for name in order]
        assert times == sorted(times), (r, s, first[s])
    rank_steps.append(steps)
assert all(steps == rank_steps[0] for steps in rank_steps), [len(s) for s in rank_steps]
assert len(rank_steps[0]) >= min_steps, len(rank_steps[0])
# only rank 0 writes checkpoints and samples concurrently with training
for thread in threads:
    assert threads[thread] in ("training", "read") or thread[0] == 0 and threads[thread] in ("checkpoint", "sample"), threads
assert sum(name == "read" for name in threads.values()) == (ranks if "stream" in path else 0), threads
assert {"checkpoint", "sample"} <= set(threads.values()) or min_steps == 0, threads
seen = {e["name"] for e in spans}
assert {"start", "wait", "checkpoint", "validate", "sample"} <= seen or min_steps == 0, seen
# no rank leaves the allreduce of a step before the last rank has contributed its gradient
if ranks > 1:
    for s in rank_steps[0]:
        last_backward = [max(e["ts"] for e in by_thread[r, 0]
                      if e["args"]["step"] == s and e["name"] == "backward") for r in range(ranks)]
        first_update = [min(e["ts"] for e in by_thread[r, 0]
                       if e["args"]["step"] == s and e["name"] == "optimizer") for r in range(ranks)]
        assert max(last_backward) <= min(first_update) + 50000, (s, last_backward, first_update)
print(f"ok: {path}: {len(spans)} events, {len(rank_steps[0])} steps from {rank_steps[0][0]}, {end / 1e3:.0f} ms")
END
}

# ---- all ranks, one file ----

"$mpirun" -n 3 "$tutti" train first.conf --set run.dir=runs/three --set train.microbatches=4 \
    --trace three.json >log.txt 2>&1 || { cat log.txt >&2; fail "train --trace"; }
"$tutti" train first.conf --set run.dir=runs/plain --set train.microbatches=4 >plain.txt 2>&1 ||
    fail "train"
steps=$(grep -c gradient_norm runs/three/metrics.jsonl)
check three.json 3 "$steps"
[ -n "$(hash_of runs/plain)" ] && [ "$(hash_of runs/plain)" = "$(hash_of runs/three)" ] ||
    fail "a trace changes the weights"

# more data than memory: each rank has a reader thread
"$mpirun" -n 2 "$tutti" train first.conf --set run.dir=runs/stream --set data.memory_mb=4 \
    --trace stream.json >log2.txt 2>&1 || { cat log2.txt >&2; fail "data.memory_mb"; }
check stream.json 2 "$steps"

# ---- the time breakdown ----

[ "$(grep -cE '^time: [a-z]+ [0-9]+ %(, [a-z]+ [0-9]+ %)*$' log.txt)" = 2 ] ||
    { cat log.txt >&2; fail "no time line for each epoch"; }
grep -A1 '^epoch 2/2 step .*valid_loss' log.txt | grep -q '^  tokens_per_second .*weights_hash' ||
    fail "the epoch's lines"
# Open MPI 5 warns about networks that it does not need
grep -v btl_tcp log.txt | awk 'length > 120' | grep . && fail "too long a line"
python3 - <<'END' || fail "the time in the metrics"
import json
lines = [json.loads(line) for line in open("runs/three/metrics.jsonl")]
times = [line for line in lines if "seconds_all" in line]
assert [line["epoch"] for line in times] == [1, 2], times
for line in times:
    parts = [v for k, v in line.items() if k.startswith("seconds_") and k not in ("seconds_all", "seconds_waited")]
    assert len(parts) == 9 and all(v >= 0 for v in parts), line
    assert abs(sum(parts) - line["seconds_all"]) < 0.05 * line["seconds_all"] + 0.01, line
    assert 0 <= line["slow_rank"] < 3 and line["slow_host"] and line["seconds_waited"] >= 0, line
    epoch = next(l for l in lines if l.get("epoch") == line["epoch"] and "train_loss" in l)
    assert line["seconds_all"] >= 0.5 * epoch["seconds"], (line, epoch)
END

# ---- a killed run leaves the flushed events; a resumed one starts a new file ----

epoch_steps=$((steps / 2))
# three epochs, then slowed down so that the kill strikes within the fourth
"$tutti" train first.conf --set run.dir=runs/killed --set train.epochs=1000 \
    --inject "slow@0:$((3 * epoch_steps + 1)):0.2" --trace killed.json >log.txt 2>&1 &
pid=$!
until [ "$(grep -c seconds_all runs/killed/metrics.jsonl 2>/dev/null)" -ge 3 ] 2>/dev/null; do
    kill -0 $pid || { cat log.txt >&2; fail "the run ended"; }
    sleep 0.02
done
kill -9 $pid
wait $pid 2>/dev/null
check killed.json 1 $((3 * epoch_steps))
"$tutti" train first.conf --set run.dir=runs/killed --resume --set train.epochs=1000 \
    --set train.max_steps=100000 --trace killed.json >resumed.txt 2>&1 &
pid=$!
until grep -q '^time:' resumed.txt 2>/dev/null; do
    kill -0 $pid || { cat resumed.txt >&2; fail "the resumed run ended"; }
    sleep 0.02
done
kill -TERM $pid
wait $pid && code=0 || code=$?
[ "$code" = 75 ] || { cat resumed.txt >&2; fail "stopped: exit code $code, not 75"; }
check killed.json 1 1
python3 -c 'import json
steps = {e["args"]["step"] for e in json.load(open("killed.json"))["traceEvents"] if e["ph"] == "X"}
assert 1 not in steps and max(steps) > 1, sorted(steps)[:3]' || fail "not a new file"

# ---- a run that ends within an epoch, and one that fails there ----

"$mpirun" -n 2 "$tutti" train first.conf --set run.dir=runs/part --set train.max_steps=5 \
    --trace part.json >log.txt 2>&1 || { cat log.txt >&2; fail "max_steps"; }
grep -q '^time: ' log.txt || fail "no time line for part of an epoch"
python3 -c 'import json
steps = {e["args"]["step"] for e in json.load(open("part.json"))["traceEvents"] if e["ph"] == "X"}
assert steps == set(range(6)), steps' || fail "the trace of a part"
"$mpirun" -n 2 "$tutti" train first.conf --set run.dir=runs/diverged --set train.optimizer=adamw \
    --set train.learning_rate=10 --set train.weight_decay=1 --set train.warmup_steps=0 \
    --set train.epochs=50 --trace diverged.json >log.txt 2>&1 && fail "it did not diverge"
check diverged.json 2 0

# ---- files that can't be written ----

refuses 2 "nowhere/trace.json: there is no folder nowhere" \
    "$tutti" train first.conf --set run.dir=runs/x --trace nowhere/trace.json
[ -e runs/x/metrics.jsonl ] && fail "a run was started without its trace"
"$tutti" train first.conf --set run.dir=runs/full --trace /dev/full >log.txt 2>&1 ||
    { cat log.txt >&2; fail "a trace that can't be written ends the run"; }
[ "$(grep -c 'warning: /dev/full: a part of the trace is missing: No space' log.txt)" = 1 ] ||
    { cat log.txt >&2; fail "not one warning about a full disk"; }
if unshare -rm true 2>/dev/null; then
    mkdir small
    unshare -rm bash -c "mount -t tmpfs -o size=40k none small &&
        '$tutti' train first.conf --set run.dir=runs/small --trace small/trace.json &&
        cp small/trace.json kept.json" >log.txt 2>&1 || { cat log.txt >&2; fail "small disk"; }
    [ "$(grep -c 'warning: .*trace is missing' log.txt)" = 1 ] ||
        { cat log.txt >&2; fail "not one warning about the small disk"; }
    python3 -c 'import json; json.load(open("kept.json"))' || fail "a full disk damaged the trace"
    echo "ok: a full disk"
fi
echo "all ok"
