# Every fuzz target, without libFuzzer, on the corpus that make_seeds writes and on some
# random changes of it. bash test_fuzz_seeds.sh TUTTI SOURCE_DIRECTORY
set -u
programs=$(dirname "$1")/tests/fuzz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for target in config split_file tokens midi checkpoint dataset; do
    "$programs/make_seeds" $target "$work/$target" || exit 1
    mutations=5
    case $target in checkpoint | dataset) mutations=1 ;; esac
    "$programs/replay_$target" -m $mutations "$work/$target" >"$work/log" 2>&1 ||
        { tail -n 40 "$work/log" >&2; echo "$target: exit code $?" >&2; exit 1; }
done
"$programs/make_seeds" dictionary "$work/dictionary" || exit 1
for word in '"batch"' '"train.batch="' '"pianoroll"' '"[run]\x0a"'; do
    grep -qxF "$word" "$work/dictionary" || { echo "no $word in the dictionary"; exit 1; }
done
"$programs/make_seeds" nothing "$work/nothing" 2>"$work/log" && exit 1
grep -q "no fuzz target is called nothing" "$work/log" || exit 1
echo "fuzz seeds: all as expected"
