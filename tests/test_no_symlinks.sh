#!/bin/bash
# A run on a file system without symbolic links; a run copied without its links, or with
# links dereferenced; links to wrong targets. Nothing of this changes which checkpoints
# are kept, resumed from or used for generation.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
shim=$programs/libno_symlinks.so
[ -e "$shim" ] || fail "$shim is missing"

make_dataset data.tutti 30 6 "0.7 0.3 0"
cat >run.conf <<END
[data]
dataset = data.tutti
[model]
layers = 1
hidden = 16
embedding = 8
dropout = 0.2
[train]
epochs = 6
batch = 8
microbatches = 4
sequence_length = 32
# high enough to make later epochs worse
learning_rate = 0.3
[run]
dir = runs/linked
samples = 0
keep_checkpoints = 2
END

without_symlinks() {
    env LD_PRELOAD="$shim" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        NO_SYMLINKS="$how" "$tutti" "$@"
}

succeeds() { # WHAT COMMAND...
    local what=$1
    shift
    "$@" >log.txt 2>&1 || { cat log.txt >&2; fail "$what: exit code $?"; }
    ! grep -q "is not written" log.txt || { cat log.txt >&2; fail "$what: not written"; }
}

# checkpoint_names RUN: its checkpoints, without files kept aside
checkpoint_names() { ls -I '*.kept-[0-9]*' "$1/checkpoints" | xargs echo; }

# same_folder RUN WHAT: generate and inspect treat its folder like that of the run with
# links.
same_folder() { same_paths "$1" "$2" "" /checkpoints; }

# same_run RUN WHAT: the same for its folder, checkpoints/best and checkpoints/latest.
same_run() {
    same_paths "$1" "$2" "" /checkpoints /checkpoints/best
    [ "$(hash_of "$1/checkpoints/latest")" = "$newest" ] || fail "$2: latest: not the newest"
    [ "$(hash_of "$1/checkpoints/best")" = "$best" ] || fail "$2: best: not the best"
}

same_paths() { # RUN WHAT PATH...
    local path
    for path in "${@:3}"; do
        succeeds "$2: generate $path" "$tutti" generate "$1$path" -o this.mid --seconds 3 --seed 5
        cmp this.mid best.mid >&2 || fail "$2: generate $path: not from the best"
    done
    for path in "" /checkpoints; do
        [ "$(hash_of "$1$path")" = "$newest" ] || fail "$2: inspect $path: not the newest"
    done
    echo "ok: $2"
}

succeeds "the run with links" "$tutti" train run.conf
newest=$(hash_of runs/linked/checkpoints/epoch-0006.h5)
best=$(hash_of "runs/linked/checkpoints/$(readlink runs/linked/checkpoints/best)")
[ "$best" != "$newest" ] || fail "the last epoch is the best: this tests nothing"
succeeds "generate" "$tutti" generate \
    "runs/linked/checkpoints/$(readlink runs/linked/checkpoints/best)" -o best.mid \
    --seconds 3 --seed 5
kept=$(checkpoint_names runs/linked)
[ "$(wc -w <<<"$kept")" = 5 ] || fail "kept with links: $kept"
same_run runs/linked "with links"

# ---- a file system without links ----

for how in refused copy; do
    run=runs/$how
    succeeds "$how: train" without_symlinks train run.conf --set run.dir=$run
    [ "$(grep -c "no symbolic links" log.txt)" = 1 ] || { cat log.txt >&2; fail "$how: not reported"; }
    [ "best $(checkpoint_names $run) latest" = "$kept" ] || fail "$how: kept $(checkpoint_names $run), not $kept"
    same_run $run "no links, $how"
    cp -r $run runs/$how-more
    cp -rL runs/linked runs/$how-followed
    for more in more followed; do
        succeeds "$how: resume" without_symlinks train run.conf --resume --set run.dir=runs/$how-$more \
            --set train.epochs=7
        [ "$(checkpoint_names runs/$how-more)" = "$(checkpoint_names runs/$how-$more)" ] ||
            fail "$how: $more: $(checkpoint_names runs/$how-$more) are left"
        ! compgen -G "runs/$how-$more/checkpoints/*best*" &&
            ! compgen -G "runs/$how-$more/checkpoints/*latest*" || fail "$how: a stale copy"
    done
    [ -z "$(find $run -name '.*')" ] || fail "$how: temporary files are left"
    without_symlinks doctor --run-dir runs >doctor.txt 2>&1
    grep -q "^note .*no symbolic links" doctor.txt || { cat doctor.txt >&2; fail "doctor"; }
done

# ---- a run whose links are lost, dereferenced, or wrong ----

copies() { # NAME: a copy of the run, to be damaged
    rm -rf "runs/$1"
    cp -r runs/linked "runs/$1"
    cd "runs/$1/checkpoints" || exit 1
}

resumes() { # NAME WHAT: resumes: both links are correct, another epoch has the right weights
    succeeds "$2: resume" "$tutti" train run.conf --resume --set run.dir="runs/$1" \
        --set train.epochs=7
    [ "$(readlink "runs/$1/checkpoints/latest")" = epoch-0007.h5 ] || fail "$2: latest"
    [ "$(checkpoint_names "runs/$1")" = "$(checkpoint_names runs/reference)" ] ||
        fail "$2: $(checkpoint_names "runs/$1"), not $(checkpoint_names runs/reference)"
    [ "$(readlink "runs/$1/checkpoints/best")" = "$(readlink runs/reference/checkpoints/best)" ] ||
        fail "$2: best"
    [ "$(hash_of "runs/$1")" = "$(hash_of runs/reference)" ] || fail "$2: other weights"
    echo "ok: resumed, $2"
}

copies reference
cd "$work" || exit 1
succeeds "reference" "$tutti" train run.conf --resume --set run.dir=runs/reference \
    --set train.epochs=7

copies lost && rm latest best
cd "$work" && same_run runs/lost "links lost" && resumes lost "links lost"

copies followed && cp --remove-destination "$(readlink latest)" latest &&
    cp --remove-destination "$(readlink best)" best
cd "$work" && same_run runs/followed "links dereferenced" && resumes followed "links dereferenced"

copies alone && cp --remove-destination "$(readlink latest)" latest &&
    cp --remove-destination "$(readlink best)" best && rm epoch-*.h5
cd "$work" && same_run runs/alone "only dereferenced links"
succeeds "alone" "$tutti" train run.conf --resume --set run.dir=runs/alone --set train.epochs=7
[ "$(hash_of runs/alone)" = "$(hash_of runs/reference)" ] || fail "alone: other weights"
[ "$(readlink runs/alone/checkpoints/best)" = "$(readlink runs/reference/checkpoints/best)" ] &&
    [ -e runs/alone/checkpoints/best ] || fail "alone: the best is lost: $(checkpoint_names runs/alone)"
echo "ok: resumed from dereferenced links alone"

copies retired && ln -sfn epoch-0001.h5 latest && ln -sfn epoch-0099.h5 best
cd "$work" && same_run runs/retired "dangling links" && resumes retired "dangling links"

copies wrong && other=$(readlink latest) && ln -sfn "$(readlink best)" latest &&
    ln -sfn "$other" best
cd "$work" && same_folder runs/wrong "wrong links"
# a link given as an argument means its target
[ "$(hash_of runs/wrong/checkpoints/latest)" = "$best" ] || fail "a link as an argument: latest"
[ "$(hash_of runs/wrong/checkpoints/best)" = "$newest" ] || fail "a link as an argument: best"
succeeds "a link as an argument: generate" "$tutti" generate runs/wrong/checkpoints/latest -o this.mid \
    --seconds 3 --seed 5
cmp this.mid best.mid >&2 || fail "a link as an argument: generate latest: another checkpoint"
succeeds "a link as an argument: evaluate" "$tutti" evaluate runs/wrong/checkpoints/latest data.tutti --json
grep -q "\"checkpoint\": \"runs/wrong/checkpoints/latest\"" log.txt ||
    { cat log.txt >&2; fail "a link as an argument: evaluate"; }
resumes wrong "wrong links"

# a user's link, and a copy, next to other checkpoints
mkdir bk && cp runs/linked/checkpoints/epoch-0006.h5 bk
cp "runs/linked/checkpoints/$(readlink runs/linked/checkpoints/best)" bk/best
ln -s "../runs/linked/checkpoints/best" bk/latest
[ "$(hash_of bk/latest)" = "$best" ] && [ "$(hash_of bk/best)" = "$best" ] ||
    fail "a link, or a copy, next to other checkpoints"
echo "ok: links and copies that are named"

copies text && rm latest best && printf epoch-0001.h5 >latest && printf junk >best
cd "$work" && same_folder runs/text "links as text files"
refuses 1 "runs/text/checkpoints/latest: neither a dataset or checkpoint" \
    "$tutti" inspect runs/text/checkpoints/latest
resumes text "links as text files"
[ "$(cat runs/text/checkpoints/best.kept-1)" = junk ] && [ ! -e runs/text/checkpoints/latest.kept-1 ] ||
    fail "links as text files: a foreign file is lost, or a former link is kept"

# the best checkpoint's file is damaged, its copy is intact: the copy replaces it
copies torn && name=$(readlink best) && cp --remove-destination "$name" best &&
    truncate -s 1000 "$name"
cd "$work" && resumes torn "an intact copy of a truncated checkpoint"
[ "$(hash_of runs/torn/checkpoints/best)" = "$best" ] || fail "torn: the copy was lost"

# a truncated newest file is reported, not skipped silently
copies cut && truncate -s 1000 epoch-0006.h5
cd "$work" && refuses 1 "epoch-0006.h5: .*truncated|latest: .*truncated" "$tutti" inspect runs/cut
echo "all ok"
