#!/bin/bash
# `tutti evaluate --samples`: the figures are those of the files that `generate` writes and
# of the dataset's pieces, on any number of ranks.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
make_run lstm
evaluate() { "$tutti" evaluate runs/first corpus.tutti --samples 6 --sample-seconds 5 "$@"; }
evaluate --json >evaluated.json 2>err.txt || fail "evaluate: $(cat err.txt)"
"$tutti" generate runs/first -o generated/piece.mid --seconds 5 --count 6 >out.txt 2>&1 ||
    fail "generate: $(cat out.txt)"
"$tutti" statistics corpus generated --seconds 5 --json >files.json || fail "statistics"
"$tutti" statistics corpus --json >whole.json || fail "statistics of whole pieces"

# The beats of both are not the same: the dataset has none.
"$python" - <<'END' || fail "other figures than those of the files"
import json
evaluated = json.load(open("evaluated.json"))["samples"]
files = json.load(open("files.json"))
whole = json.load(open("whole.json"))
assert evaluated["seconds"] == 5
for group in range(2):
    found, expected = evaluated["groups"][group], files["groups"][group]
    assert found["pieces"] == expected["pieces"] == (60, 6)[group], found["pieces"]
    for name in "notes pitches pitch_range pitch_class_entropy scale_consistency".split():
        a, b = found["metrics"][name]["mean"], expected["metrics"][name]["mean"]
        assert abs(a - b) < 1e-9, (group, name, a, b)
        if group == 1:
            a, b = (x["metrics"][name]["wasserstein"] for x in (found, expected))
            assert abs(a - b) < 1e-9, (group, name, a, b)
copied = [group["metrics"]["copied_groups"]["mean"] for group in evaluated["groups"]]
assert copied[0] > 0.1, copied # the tunes are scales
assert whole["groups"][0]["metrics"]["notes"]["mean"] == 24
assert evaluated["groups"][0]["metrics"]["notes"]["mean"] == 10
END

# A table, the same on two ranks.
evaluate >one.txt 2>err.txt || fail "evaluate: $(cat err.txt)"
grep -q '^2  samples: 6 pieces, 0 skipped$' one.txt || fail "table: $(cat one.txt)"
timeout 300 "$mpirun" -n 2 "$tutti" evaluate runs/first corpus.tutti --samples 6 \
    --sample-seconds 5 >two.txt 2>err.txt || fail "two ranks: $(cat err.txt)"
diff one.txt two.txt >&2 || fail "other figures on two ranks"
"$tutti" evaluate runs/first corpus.tutti >none.txt || fail "evaluate without samples"
! grep -q samples none.txt || fail "samples without --samples: $(cat none.txt)"

refuses 2 '--sample-seconds without samples' "$tutti" evaluate runs/first corpus.tutti \
    --sample-seconds 5
echo ok
