#!/bin/bash
# `tutti evaluate --samples`: the figures are those of the files that `generate` writes and
# of the dataset's pieces, on any number of ranks.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
make_run lstm
evaluate() { "$tutti" evaluate runs/first corpus.tutti --samples 6 --sample-seconds 8 "$@"; }
evaluate --json >evaluated.json 2>err.txt || fail "evaluate: $(cat err.txt)"
"$tutti" generate runs/first -o generated/piece.mid --seconds 8 --count 6 >out.txt 2>&1 ||
    fail "generate: $(cat out.txt)"
"$tutti" statistics corpus generated --seconds 8 --json >files.json || fail "statistics"
"$tutti" statistics corpus --json >whole.json || fail "statistics of whole pieces"

# The beats of both are not the same: the dataset has none.
"$python" - <<'END' || fail "other figures than those of the files"
import json
evaluated = json.load(open("evaluated.json"))["samples"]
files = json.load(open("files.json"))
whole = json.load(open("whole.json"))
assert evaluated["seconds"] == 8
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
assert evaluated["groups"][0]["metrics"]["notes"]["mean"] == 16
END

# What stands in the training split, here a single piece.
for ((i = 0; i < 60; i++)); do
    printf 'corpus/tune-%03d.mid\t%s\n' $i "$([ $i = 7 ] && echo train || echo valid)"
done >split.tsv
"$tutti" preprocess corpus -o one.tutti --shards 4 --split-file split.tsv >out.txt 2>&1 ||
    fail "preprocess: $(cat out.txt)"
"$tutti" evaluate runs/first one.tutti --samples 6 --sample-seconds 8 --json >evaluated.json ||
    fail "evaluate one.tutti"
"$tutti" statistics corpus generated --seconds 8 --training corpus/tune-007.mid --json \
    >files.json || fail "statistics --training"
"$python" - <<'END' || fail "other copies than those of the files"
import json
groups = [json.load(open("evaluated.json"))["samples"]["groups"], json.load(open("files.json"))["groups"]]
evaluated, files = ([group["metrics"]["copied_groups"]["mean"] for group in found] for found in groups)
assert evaluated == files and 0 < files[0] < 1, (evaluated, files)
END

# `statistics` reads the same split, and leaves a piece of it out when it measures it.
"$tutti" statistics corpus generated --seconds 8 --training one.tutti --json >dataset.json ||
    fail "statistics --training one.tutti"
cmp <(grep -v '"training"' files.json) <(grep -v '"training"' dataset.json) ||
    fail "other copies than those of the folder"

# A table, the same on two ranks.
evaluate >one.txt 2>err.txt || fail "evaluate: $(cat err.txt)"
grep -q '^2  samples: 6 pieces, 0 skipped$' one.txt || fail "table: $(cat one.txt)"
timeout 300 "$mpirun" -n 2 "$tutti" evaluate runs/first corpus.tutti --samples 6 \
    --sample-seconds 8 >two.txt 2>err.txt || fail "two ranks: $(cat err.txt)"
diff one.txt two.txt >&2 || fail "other figures on two ranks"
"$tutti" evaluate runs/first corpus.tutti >none.txt || fail "evaluate without samples"
! grep -q samples none.txt || fail "samples without --samples: $(cat none.txt)"

refuses 2 '--sample-seconds without samples' "$tutti" evaluate runs/first corpus.tutti \
    --sample-seconds 8
echo ok
