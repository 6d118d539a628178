#!/bin/bash
# tutti bench, with a small model and next to no time: that it measures everything, alone and
# on ranks, as a table and as JSON. How fast it is nobody asks here.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

small="--seconds 0.001 --set model.hidden=48 --set model.embedding=16 --set train.time=8"
# shellcheck disable=SC2086
for cell in lstm gru; do
    "$tutti" bench $small --set model.cell=$cell >table.txt || fail "bench $cell"
    for group in limit product cell sum step generate ingest; do
        grep -q "^$group " table.txt || fail "$cell: no row of $group: $(cat table.txt)"
    done
    grep -Eq '[0-9] % of multiply-adds$' table.txt || fail "$cell: no share of the limit"
    grep -Eqi 'nan|inf' table.txt && fail "$cell: $(cat table.txt)"
done
# shellcheck disable=SC2086
"$mpirun" -n 3 "$tutti" bench $small --json >table.json || fail "bench on three ranks"
python3 - <<'END' || fail "JSON: $(cat table.json)"
import json
table = json.load(open("table.json"))
names = [row["name"] for row in table["rows"]]
assert table["ranks"] == 3 and "3 ranks against one" in names, names
assert all(row["value"] > 0 for row in table["rows"])
assert all(row.get("share", 1) > 0 for row in table["rows"])
assert len(names) == len(set(names))
# Every row there is to be, by how it begins.
expected = {
    "limit": ["multiply-adds, float32", "tiles of bfloat16", "reading memory"],
    "product": ["over time, forward", "over time, backward", "over time, gradient",
                "recurrent, forward", "recurrent, backward"],
    "cell": ["LSTM, forward", "LSTM, backward", "softmax"],
    "sum": ["fixed point", "norm"],
    "step": ["exact sum", "exact sum, a rank's products", "float sum",
             "float sum, a rank's products", "one rank, the others waiting",
             "one rank, the others waiting, a rank's products", "3 ranks against one"],
    "generate": ["1 at once", "weights read", "64 at once, without the drawing",
                 "64 at once, products"],
    "ingest": ["MIDI to notes", "notes to tokens", "both"],
}
for group, begins in expected.items():
    found = [row["name"] for row in table["rows"] if row["group"] == group]
    assert len(found) == len(begins), (group, found)
    assert all(row.startswith(begin) for row, begin in zip(found, begins)), (group, found)
END
"$mpirun" -n 3 "$tutti" bench --set train.slices=2 2>microbatches.txt && fail "too few microbatches"
[ "$(grep -c '^tutti: train.slices = 2, but there are 3 ranks' microbatches.txt)" = 1 ] ||
    fail "too few microbatches: $(cat microbatches.txt)"
refuses 2 "seconds" "$tutti" bench --seconds 0
refuses 2 "nothere.conf" "$tutti" bench nothere.conf
echo "ok"
