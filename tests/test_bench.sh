#!/bin/bash
# `tutti bench` on a small model with minimal run time: every measurement is present,
# alone and on several ranks, as a table and as JSON. Speed is not checked.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

small="--seconds 0.001 --set model.hidden=48 --set model.embedding=16 --set train.sequence_length=8"
# shellcheck disable=SC2086
for cell in lstm gru; do
    "$tutti" bench $small --set model.cell=$cell >table.txt || fail "bench $cell"
    for group in limit layout matmul cell sum step generate ingest; do
        grep -q "^$group " table.txt || fail "$cell: no row of $group: $(cat table.txt)"
    done
    grep -Eq '[0-9] % of peak$' table.txt || fail "$cell: no share of the limit"
    grep -Eqi 'nan|inf' table.txt && fail "$cell: $(cat table.txt)"
done
# shellcheck disable=SC2086
"$mpirun" -n 3 "$tutti" bench $small --json >table.json || fail "bench on three ranks"
python3 - <<'END' || fail "JSON: $(cat table.json)"
import json
table = json.load(open("table.json"))
names = [row["name"] for row in table["rows"]]
assert table["ranks"] == 3 and "speed-up of 3 ranks" in names, names
assert all(row["value"] > 0 for row in table["rows"])
assert all(row.get("share", 1) > 0 for row in table["rows"])
assert len(names) == len(set(names))
# The prefix of every expected row.
expected = {
    "limit": ["peak, float32", "bfloat16 microkernel", "memory bandwidth"],
    "layout": ["cores of the job", "groups that share", "recurrent weights of a thread",
               "recommended ranks per node", "recommended threads per rank",
               "recurrent weights of a thread, recommended"],
    "matmul": ["batched over time, forward", "batched over time, backward",
               "batched over time, gradient", "recurrent, forward", "recurrent, backward"],
    "cell": ["LSTM, forward", "LSTM, backward", "softmax"],
    "sum": ["convert to fixed point", "gradient norm"],
    "step": ["exact sum", "exact sum, matmul rate", "float sum", "float sum, matmul rate",
             "one rank alone", "one rank alone, matmul rate", "speed-up of 3 ranks"],
    "generate": ["batch of 1, without sampling", "batch of 1, weights read",
                 "batch of 64, without sampling", "batch of 64, matmul"],
    "ingest": ["MIDI to notes", "notes to tokens", "both"],
}
for group, begins in expected.items():
    found = [row["name"] for row in table["rows"] if row["group"] == group]
    assert len(found) == len(begins), (group, found)
    assert all(row.startswith(begin) for row, begin in zip(found, begins)), (group, found)
END
"$mpirun" -n 3 "$tutti" bench --set train.microbatches=2 2>microbatches.txt && fail "too few microbatches"
[ "$(grep -c '^tutti: train.microbatches = 2, but there are 3 ranks' microbatches.txt)" = 1 ] ||
    fail "too few microbatches: $(cat microbatches.txt)"
refuses 2 "seconds" "$tutti" bench --seconds 0
refuses 2 "nothere.conf" "$tutti" bench nothere.conf
echo "ok"
