#!/bin/bash
# Text from outside is never printed verbatim: every command, with names and texts that
# hold escape sequences, line breaks, invalid UTF-8 and bidirectional marks.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e

# A window title, a line break with a fake message, the same with C1, a bidirectional
# override, an invalid UTF-8 byte, a backspace.
evil_utf8=$'\xc2\x9b2J\xe2\x80\xaegnp\xffz'
evil=$'x\e]0;owned\a\ntutti: done'$evil_utf8$'\b'
# Finds characters that must not be printed: C0 except tab and newline, DEL, C1,
# bidirectional marks, invalid UTF-8.
cat >unsafe.awk <<'SCRIPT'
/[\001-\010\013-\037\177]/ || /\302[\200-\237]/ || /\342\200[\250-\256]/ ||
    /\342\201[\246-\251]/ || /\377/ || /^tutti: done/ {
    print FILENAME ":" FNR ": " $0
    found = 1
}
END { exit found }
SCRIPT
for text in $'\e' $'\a' $'\r' $'\x7f' $'\xc2\x9b' $'\xe2\x80\xa8' $'\xe2\x80\xae' \
    $'\xe2\x81\xa6' $'\xff' 'tutti: done'; do
    ! echo "$text" | LC_ALL=C awk -f unsafe.awk >/dev/null || fail "unsafe.awk misses $text"
done
echo $'\xc3\xa9 \xe2\x82\xac \xc2\xa0\ta' | LC_ALL=C awk -f unsafe.awk || fail "unsafe.awk reports valid text"

# prints_safely COMMAND...: requires that it prints nothing of the kind; sets $code to
# its exit code.
prints_safely() {
    code=0
    timeout 600 "$@" >out 2>err </dev/null || code=$?
    case $code in
    124 | 134 | 139) fail "$(printf '%q ' "$@"): exit code $code: $(cat -v err)" ;;
    esac
    LC_ALL=C awk -f unsafe.awk out err >found || fail "$(printf '%q ' "$@"): $(cat -v found)"
}
# succeeds COMMAND...: requires clean output and success.
succeeds() {
    prints_safely "$@"
    [ $code = 0 ] || fail "$(printf '%q ' "$@"): exit code $code: $(cat -v out err)"
}
# prints_json COMMAND...: the same, and its output must be JSON.
prints_json() {
    succeeds "$@"
    ! command -v jq >/dev/null || jq . out >/dev/null || fail "invalid JSON: $(printf '%q ' "$@")"
}

make_corpus "corpus$evil" 30
mv "corpus$evil/tune-003.mid" "corpus$evil/tune$evil.mid"
head -c 40 "corpus$evil/tune-001.mid" >"corpus$evil/cut$evil.mid"
write_midi "plain.mid" 60 62 64
track=$(printf '00ff0320%s00ff2f00' "$(printf '\e]0;owned\a\n............................' |
    head -c 32 | od -An -tx1 | tr -d ' \n')")
write_hex "corpus$evil/named.mid" \
    "4d546864000000060000000100604d54726b$(printf %08x $((${#track} / 2)))$track"

# ---- preprocess ----
succeeds "$tutti" preprocess "corpus$evil" -o "data$evil" --shards 2 --split "0.6 0.2 0.2" \
    --list -
succeeds "$tutti" preprocess "corpus$evil" -o "data$evil" --shards 2 --split "0.6 0.2 0.2" \
    --replace
prints_safely "$tutti" preprocess "no$evil" -o "no$evil"
prints_safely "$tutti" preprocess "corpus$evil" -o bad --split-file "no$evil"
printf 'path%s\ttrain\n' $'\e[2J' >"split$evil"
prints_safely "$tutti" preprocess "corpus$evil" -o bad --split-file "split$evil"
printf 'tune-000.mid\ttr\e[2Jain\n' >"split$evil"
prints_safely "$tutti" preprocess "corpus$evil" -o bad --split-file "split$evil"

# ---- train: names in settings cannot contain C0, but can contain the others ----
mv "data$evil" "data$evil_utf8"
mkdir -p "runs$evil_utf8"
cat >"run$evil.conf" <<END
[data]
dataset = data$evil_utf8
[model]
layers = 1
hidden = 8
embedding = 4
[train]
epochs = 2
batch = 4
microbatches = 2
sequence_length = 16
[run]
dir = runs$evil_utf8/first
samples = 1
sample_seconds = 1
END
succeeds "$tutti" train "run$evil.conf"
succeeds "$tutti" train "run$evil.conf" --resume
succeeds "$tutti" train "run$evil.conf" --where
prints_safely "$tutti" train "run$evil.conf"
prints_safely "$tutti" train "run$evil.conf" --resume --set train.batch=8
prints_safely "$tutti" train "run$evil.conf" --set "train.batch=$evil"
prints_safely "$tutti" train "run$evil.conf" --set "$evil=$evil"
prints_safely "$tutti" train "no$evil.conf"
prints_safely "$tutti" train "run$evil.conf" --set "data.dataset=none$evil_utf8" --set run.dir=other
prints_safely "$tutti" train "run$evil.conf" "--$evil"
prints_safely "$tutti" train "run$evil.conf" --inject "$evil"
for line in "[$evil]" "key$evil = 1" "[train]"$'\n'"batch = $evil" "[run" "x$evil"; do
    printf '%s\n' "$line" >"bad$evil.conf"
    prints_safely "$tutti" train "bad$evil.conf"
done
prints_safely "$tutti" "$evil"
prints_safely "$tutti" help "$evil"
prints_safely env "TUTTI_KERNELS=$evil_utf8" "$tutti" train "run$evil.conf" --set run.dir=other
prints_safely env "SLURM_JOB_ID=$evil" SLURM_PROCID=0 "$tutti" doctor "run$evil.conf"

# ---- the other commands ----
run=runs$evil_utf8/first
succeeds "$tutti" inspect "$run" && prints_json "$tutti" inspect "$run" --json
succeeds "$tutti" inspect "$run" --verify
succeeds "$tutti" inspect "data$evil_utf8" && prints_json "$tutti" inspect "data$evil_utf8" --json
succeeds "$tutti" inspect "data$evil_utf8" --verify
succeeds "$tutti" inspect "data$evil_utf8/shard-0000.h5"
succeeds "$tutti" inspect "data$evil_utf8" --diff "data$evil_utf8"
cp -r "$run" "again$evil"
succeeds "$tutti" inspect "$run" "again$evil" "none$evil"
prints_json "$tutti" inspect "$run" "again$evil" "none$evil" --json
succeeds "$tutti" inspect "$run" --diff "again$evil"
succeeds "$tutti" inspect "corpus$evil/tune$evil.mid"
prints_json "$tutti" inspect "corpus$evil/tune$evil.mid" --json
prints_safely "$tutti" inspect "corpus$evil/cut$evil.mid" --verify
prints_safely "$tutti" inspect "corpus$evil/named.mid"
prints_safely "$tutti" inspect "no$evil"
prints_safely "$tutti" inspect "run$evil.conf"
succeeds "$tutti" generate "$run" -o "out$evil.mid" --seconds 1 --prime \
    "corpus$evil/tune$evil.mid"
prints_safely "$tutti" generate "no$evil" -o "out$evil.mid"
prints_safely "$tutti" generate "$run" -o "out$evil.wav"
prints_safely "$tutti" generate "$run" -o "out.mid" --seconds "$evil"
succeeds "$tutti" evaluate "$run" "data$evil_utf8"
prints_json "$tutti" evaluate "$run" "data$evil_utf8" --json
prints_safely "$tutti" evaluate "no$evil" "no$evil"
prints_safely "$tutti" evaluate "$run" "data$evil_utf8" --split "$evil"
prints_safely "$tutti" doctor "run$evil.conf"
prints_safely "$tutti" doctor "run$evil.conf" --json
prints_safely "$tutti" doctor --run-dir "no$evil"
prints_safely "$tutti" bench "no$evil"
prints_safely "$tutti" demo -o "corpus$evil"
prints_safely "$tutti" demo -o "plain.mid/$evil"
prints_safely "$tutti" demo -o "demo$evil" --pieces 80 --epochs 1 --ranks 1
succeeds "$tutti" demo -o "demo$evil_utf8" --pieces 80 --epochs 1 --ranks 1

# ---- the printed command restores the same words ----
"$tutti" train "run$evil.conf" --set run.dir=copy --set train.max_steps=2 >out 2>err ||
    fail "train: $(cat -v err)"
"$tutti" train "run$evil.conf" --resume 2>&1 | grep -q "is complete" || fail "resume"
mkdir -p again
next=$("$tutti" train "run$evil.conf" --set "run.dir=again/$evil_utf8" 2>&1 |
    sed -n 's/^next: //p')
eval "$next" >out 2>err || fail "the printed command fails: $next: $(cat -v err)"

# ---- what the watchdog reports ----
if command -v "$mpirun" >/dev/null; then
    prints_safely "$mpirun" -n 2 "$tutti" train "run$evil.conf" --set "run.dir=killed$evil_utf8" \
        --inject kill@1:3
    # MPICH may kill rank 0, too, before it has written the file or the message
    ! is_open_mpi || grep -q "root cause: rank 1" err || fail "no root cause: $(cat -v err)"
    if is_open_mpi || [ -e "killed$evil_utf8/root-cause.txt" ]; then
        LC_ALL=C awk -f unsafe.awk <"killed$evil_utf8/root-cause.txt" || fail "root-cause.txt"
    fi
fi

# ---- texts of HDF5 files ----
if "$python" -c "import h5py, numpy" 2>/dev/null; then
    cp -r "data$evil_utf8" hostile
    newest=$(find "$run/checkpoints" -name '*-0002.h5')
    cp "$newest" host.h5
    cp "$newest" config.h5
    cp "$newest" object.h5
    "$python" - <<'END'
import h5py, numpy
evil = "x\x1b]0;owned\x07\ntutti: done\u009b2J\u202egnp".encode() + b"\xff"
def put(f, name, values):
    values = numpy.array(values)
    del f[name]
    f.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
with h5py.File("hostile/index.h5", "r+", libver=("earliest", "v110")) as f:
    n = len(f["files/path"])
    put(f, "files/path", [evil + b"%d" % i for i in range(n)])
    put(f, "files/reason", [evil] * n)
    put(f, "files/outcome", numpy.full(n, 2, "u1"))
with h5py.File("host.h5", "r+", libver=("earliest", "v110")) as f:
    f["provenance"].attrs["host"] = numpy.bytes_(evil)
    f["provenance"].attrs["numerics"] = numpy.bytes_(evil)
with h5py.File("config.h5", "r+", libver=("earliest", "v110")) as f:
    put(f, "config", [f["config"][0] + b"\n[" + evil + b"]\n"])
with h5py.File("object.h5", "r+", libver=("earliest", "v110")) as f:
    f.create_dataset(evil, data=numpy.zeros(4), chunks=(4,), fletcher32=True)
    del f["model"]
END
    prints_safely "$tutti" inspect hostile
    prints_safely "$tutti" inspect hostile --json
    prints_safely "$tutti" inspect hostile --verify
    prints_safely "$tutti" train "run$evil.conf" --set data.dataset=hostile --set run.dir=hostile-run
    for file in host.h5 config.h5 object.h5; do
        prints_safely "$tutti" inspect "$file"
        prints_safely "$tutti" inspect "$file" --json
        prints_safely "$tutti" inspect "$file" --verify
        prints_safely "$tutti" generate "$file" -o out.mid --seconds 1
    done
fi
