#!/bin/bash
# Output files never replace an input, a checkpoint or a dataset; inputs from standard
# input or a pipe.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
make_run gru
generate() { "$tutti" generate runs/first --seconds 2 --seed 9 "$@"; }
best=runs/first/checkpoints/$(readlink runs/first/checkpoints/best)
cp corpus/tune-000.mid tune.mid
succeeds() { "$@" >output.txt 2>log.txt || fail "$*: exit code $?: $(cat log.txt)"; }
# refuses_without_change FILE PATTERN COMMAND...: requires exit code 2 and that FILE is
# unchanged
refuses_without_change() {
    local file=$1 pattern=$2 before
    before=$(stat -Lc '%d %i' "$file" && cksum <"$file")
    shift 2
    refuses 2 "$pattern" "$@"
    [ "$before" = "$(stat -Lc '%d %i' "$file" && cksum <"$file")" ] || fail "$*: $file was replaced"
}

# ---- generate ----

succeeds generate -o again.mid
succeeds generate -o again.mid --seed 10 # over an earlier output is allowed
h5='an HDF5 file, as checkpoints and datasets are: not replaced'
input='can.t be the output, as it is the input'
ln -s "$best" link.mid
ln "$best" hard.mid
cp "$best" another.mid
for name in "$best" link.mid hard.mid another.mid runs/first/checkpoints/latest corpus.tutti/index.h5; do
    pattern=$h5
    [ "${name##*.}" != h5 ] || pattern="$h5|writes MIDI files, not .h5"
    refuses_without_change "$name" "$pattern" generate -o "$name"
done
refuses_without_change hard.mid "$h5" "$tutti" generate hard.mid -o hard.mid --seconds 2
ln -s tune.mid tune-link.mid
ln tune.mid tune-hard.mid
for name in tune.mid ./tune.mid tune-link.mid tune-hard.mid "$work/tune.mid"; do
    refuses_without_change tune.mid "^tutti: $name: $input tune.mid" generate -o "$name" --prime tune.mid
done
# shellcheck disable=SC2094 # which must be refused
refuses_without_change tune.mid "$input -;" generate -o tune.mid --prime - <tune.mid
succeeds generate -o other.mid --prime tune.mid
# several files: every name is checked before the first is written
: >many.mid
ln "$best" many-2.mid
refuses_without_change many-2.mid "^tutti: many-2.mid: $h5" generate -o many.mid --count 3
rm many-2.mid && ln tune.mid many-3.mid
refuses_without_change many-3.mid "^tutti: many-3.mid: $input tune.mid" generate -o many.mid --count 3 --prime tune.mid
rm many-3.mid && mkdir many-3.mid
refuses 2 "^tutti: many-3.mid: a directory" generate -o many.mid --count 3
rmdir many-3.mid && mkfifo many-3.mid
refuses 2 "^tutti: many-3.mid: not a file, so piece 3 can't be written there" generate -o many.mid --count 3
rm many-3.mid
[ ! -e many-1.mid ] || fail "the first was written before the others were checked"
succeeds generate -o many.mid --count 3
[ -s many-3.mid ] && [ ! -s many.mid ] || fail "--count 3"
echo "ok: generate"

# ---- lists and traces ----

preprocess() { "$tutti" preprocess corpus tune.mid --shards 2 -o new "$@"; }
printf '[data]\nseed = 2\n' >data.conf
printf 'tune-000.mid\ttrain\ntune-001.mid\tvalid\n' >split.tsv
refuses_without_change data.conf "$input data.conf" preprocess --config data.conf --list data.conf
refuses_without_change split.tsv "$input split.tsv" preprocess --split-file split.tsv --list ./split.tsv
refuses_without_change tune.mid "$input tune.mid" preprocess --list tune-link.mid
refuses_without_change corpus/tune-003.mid "^tutti: corpus/tune-003.mid: a MIDI file" \
    preprocess --list corpus/tune-003.mid
refuses_without_change corpus.tutti/index.h5 "$h5" preprocess --list corpus.tutti/index.h5
refuses_without_change "$best" "$h5" preprocess --list "$best"
[ ! -e new ] && [ ! -e new.partial ] || fail "a refused list: work was started"
refuses 1 "^tutti: new/index.h5: $h5.*the list of files is not written \(the dataset new is complete\)" \
    preprocess --list new/index.h5
"$tutti" inspect new --verify >/dev/null || fail "the list took the place of the index"

train() { "$tutti" train first.conf --set run.dir=runs/traced --set train.epochs=1 "$@"; }
refuses_without_change first.conf "$input first.conf" train --trace first.conf
refuses_without_change tune.mid "^tutti: tune.mid: a MIDI file" train --trace tune.mid
refuses_without_change corpus.tutti/shard-0000.h5 "$h5" train --trace corpus.tutti/shard-0000.h5
refuses_without_change "$best" "$h5" train --trace "$best"
[ ! -e runs/traced ] || fail "a refused trace: a run was started"
for name in metrics.jsonl settings.conf; do
    refuses_without_change runs/first/$name "the run in runs/first writes a file of this name" \
        "$tutti" train first.conf --resume --trace runs/first/$name
    "$mpirun" -n 2 "$tutti" train first.conf --resume --trace runs/first/$name >output.txt 2>&1
    [ "$(grep -c "^tutti: .*writes a file of this name" output.txt)" = 1 ] || fail "2 ranks: $(cat output.txt)"
done
echo "ok: lists and traces"

# ---- standard input and pipes ----

"$tutti" inspect tune.mid --json | grep -v tune.mid >expected.txt
same() { "$@" --json 2>&1 | grep -v '"path":\|standard input\|tune.mid\|/dev/fd' | diff expected.txt - >&2 || fail "$*"; }
same "$tutti" inspect - <tune.mid
# shellcheck disable=SC2002 # a pipe, not a file
cat tune.mid | same "$tutti" inspect -
# shellcheck disable=SC2002
cat tune.mid | same "$tutti" inspect /dev/stdin
same "$tutti" inspect <(cat tune.mid)
same "$tutti" inspect <(sleep 0.3; cat tune.mid)
refuses 1 "^tutti: standard input: empty" "$tutti" inspect - </dev/null
refuses 1 "^tutti: standard input: neither a dataset or checkpoint" "$tutti" inspect - <first.conf
succeeds generate -o named.mid --prime tune.mid
succeeds generate -o stdin.mid --prime - <tune.mid
succeeds generate -o piped.mid --prime <(sleep 0.3; cat tune.mid)
cmp -s named.mid stdin.mid && cmp -s named.mid piped.mid || fail "the primer differs"
stream='^tutti: .*can.t be read from'
refuses 2 "$stream" "$tutti" inspect - <"$best"
refuses 2 "$stream" "$tutti" generate - -o x.mid --seconds 2 <"$best"
refuses 2 "$stream" "$tutti" evaluate - corpus.tutti <"$best"
refuses 2 "$stream" "$tutti" evaluate runs/first - <"$best"
refuses 2 "$stream" "$tutti" train first.conf --set data.dataset=- --set run.dir=runs/never
refuses 2 "$stream" "$tutti" preprocess - -o never
refuses 2 "^tutti: -o -: a dataset is a folder" "$tutti" preprocess corpus -o -
mkfifo pipe # without a writer
refuses 1 "^tutti: pipe: a pipe without a writer" timeout 300 "$tutti" inspect pipe
refuses 1 "^tutti: pipe: a pipe without a writer" \
    timeout 300 "$tutti" generate runs/first --seconds 2 -o x.mid --prime pipe
refuses 2 "$stream a pipe" timeout 300 "$tutti" generate pipe --seconds 2 -o x.mid
refuses 2 "$input pipe" timeout 300 "$tutti" generate runs/first --seconds 2 -o pipe --prime pipe
[ ! -e - ] && [ ! -e x.mid ] && [ ! -e never ] && [ ! -e runs/never ] || fail "stray: $(ls)"
echo "ok: streams"
