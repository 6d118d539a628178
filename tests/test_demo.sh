#!/bin/bash
# The demo command: its files, its report, its refusals.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -eo pipefail

fail() {
    echo "FAILED: $*" >&2
    exit 1
}
# number FILE KEY: prints a number of a JSON file
number() { grep -Eo "\"$2\": *[^,]*" "$1" | head -1 | sed 's/.*: *//; s/"//g'; }
# holds EXPRESSION: true if this arithmetic condition holds
holds() { awk "BEGIN { exit !($1) }"; }

"$tutti" demo -o "my demo" --pieces 80 --epochs 1 --ranks 2 >output.txt 2>log.txt ||
    fail "exit code $?: $(tail -1 log.txt)"

# files: the corpus, nine tenths of it for training, a run, music
[ "$(find "my demo/corpus" -name '*.mid' | wc -l)" = 80 ] || fail "pieces"
[ "$(grep -c 'train$' "my demo/split.tsv")" = 72 ] || fail "training pieces"
[ "$(grep -c 'valid$' "my demo/split.tsv")" = 8 ] || fail "validation pieces"
for file in dataset/index.h5 run/checkpoints/best run/metrics.jsonl music-1.mid music-3.mid; do
    [ -s "my demo/$file" ] || fail "no $file"
done
"$tutti" inspect "my demo/corpus/piece-0001.mid" --json >piece.json
[ "$(number piece.json outcome)" = ok ] || fail "a piece is read with repairs"

# the report is stored, and its figures are consistent
tail -n "$(wc -l <"my demo/demo.txt")" output.txt | cmp -s - "my demo/demo.txt" || fail "demo.txt: not the output"
truth=$(sed -n 's/^ *\([0-9.]*\) *true entropy.*/\1/p' output.txt)
model=$(sed -n 's/^ *\([0-9.]*\) *model:.*/\1/p' output.txt)
ratio=$(sed -n 's/.*model: \([0-9.]*\) times.*/\1/p' output.txt)
baseline=$(sed -n 's/^ *\([0-9.]*\) *bigram baseline/\1/p' output.txt)
holds "$truth > 0.05 && $truth < $model && $truth < $baseline" || fail "entropy: $truth"
holds "($ratio - $model / $truth) ^ 2 < 1e-5" || fail "$ratio is not $model / $truth"
evaluated=$(number "my demo/evaluation.json" nats_per_token)
holds "($model - $evaluated) ^ 2 < 1e-8" || fail "$model differs from the evaluation"

# all printed commands can be pasted, even as root
cp -r "my demo" before
rm -r "my demo/dataset" "my demo/run" "my demo"/music-*.mid "my demo/evaluation.json"
sed -n '/^Commands:/,/^$/s/^  //p' "my demo/demo.txt" >commands.sh
[ "$(wc -l <commands.sh)" = 4 ] || fail "commands: $(cat commands.sh)"
env -u OMPI_ALLOW_RUN_AS_ROOT -u OMPI_ALLOW_RUN_AS_ROOT_CONFIRM bash -e commands.sh \
    >copied.txt 2>&1 || fail "the printed commands fail: $(tail -3 copied.txt)"
for file in music-1.mid music-3.mid evaluation.json; do
    cmp -s "my demo/$file" "before/$file" || fail "the printed commands: other $file"
done

# a second demo replaces an earlier one (and nothing else: test_ownership.sh); one rank
# gives the same weights as two; the same seed gives the same pieces
cp -r "my demo" first
"$tutti" demo -o "my demo" --pieces 80 --epochs 1 --ranks 1 >/dev/null 2>log.txt ||
    fail "the second time: $(tail -1 log.txt)"
diff -r first/corpus "my demo/corpus" >/dev/null || fail "same seed, other pieces"
[ "$(number first/evaluation.json weights_hash)" = \
    "$(number "my demo/evaluation.json" weights_hash)" ] || fail "one rank: other weights"

# a foreign directory is not changed
mkdir mine && echo precious >mine/file
code=0
"$tutti" demo -o mine 2>log.txt || code=$?
[ "$code" = 2 ] || fail "exit code $code for a directory that is not ours"
grep -q "^tutti: mine: exists" log.txt || fail "output: $(cat log.txt)"
[ "$(cat mine/file)" = precious ] || fail "the directory was changed"
echo "notes for my demo" >mine/demo.txt
"$tutti" demo -o mine 2>log.txt && fail "a foreign demo.txt is accepted as a demo's"
[ "$(cat mine/file)" = precious ] || fail "the directory was changed"

# a failing step ends the demo: here a folder below a file
touch file
code=0
"$tutti" demo -o file/demo 2>log.txt || code=$?
[ "$code" = 1 ] || fail "exit code $code for a directory below a file"
[ "$(grep -c ^tutti: log.txt)" = 1 ] || fail "not one line: $(cat log.txt)"
