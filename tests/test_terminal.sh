#!/bin/bash
# Text from outside is never printed verbatim: every command, with names and texts that
# hold escape sequences, line breaks, invalid UTF-8 and bidirectional marks.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e

# A window title, a line break with a fake message, the same with C1, a bidirectional
# override, an invalid UTF-8 byte, a backspace.
turned=$'\xc2\x9b2J\xe2\x80\xaegnp\xffz'
evil=$'x\e]0;owned\a\ntutti: done'$turned$'\b'
# Finds characters that must not be printed: C0 except tab and newline, DEL, C1,
# bidirectional marks, invalid UTF-8.
cat >raw.awk <<'SCRIPT'
/[\001-\010\013-\037\177]/ || /\302[\200-\237]/ || /\342\200[\250-\256]/ ||
    /\342\201[\246-\251]/ || /\377/ || /^tutti: done/ {
    print FILENAME ":" FNR ": " $0
    found = 1
}
END { exit found }
SCRIPT
for text in $'\e' $'\a' $'\r' $'\x7f' $'\xc2\x9b' $'\xe2\x80\xa8' $'\xe2\x80\xae' \
    $'\xe2\x81\xa6' $'\xff' 'tutti: done'; do
    ! echo "$text" | LC_ALL=C awk -f raw.awk >/dev/null || fail "raw.awk misses $text"
done
echo $'\xc3\xa9 \xe2\x82\xac \xc2\xa0\ta' | LC_ALL=C awk -f raw.awk || fail "raw.awk reports valid text"

# clean COMMAND...: requires that it prints nothing of the kind; sets $code to its exit
# code.
clean() {
    code=0
    timeout 120 "$@" >out 2>err </dev/null || code=$?
    case $code in
    124 | 134 | 139) fail "$(printf '%q ' "$@"): exit code $code: $(cat -v err)" ;;
    esac
    LC_ALL=C awk -f raw.awk out err >found || fail "$(printf '%q ' "$@"): $(cat -v found)"
}
# works COMMAND...: requires clean output and success.
works() {
    clean "$@"
    [ $code = 0 ] || fail "$(printf '%q ' "$@"): exit code $code: $(cat -v out err)"
}
# json COMMAND...: the same, and its output must be JSON.
json() {
    works "$@"
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
works "$tutti" preprocess "corpus$evil" -o "data$evil" --shards 2 --split "0.6 0.2 0.2" \
    --list -
works "$tutti" preprocess "corpus$evil" -o "data$evil" --shards 2 --split "0.6 0.2 0.2" \
    --replace
clean "$tutti" preprocess "no$evil" -o "no$evil"
clean "$tutti" preprocess "corpus$evil" -o bad --split-file "no$evil"
printf 'path%s\ttrain\n' $'\e[2J' >"split$evil"
clean "$tutti" preprocess "corpus$evil" -o bad --split-file "split$evil"
printf 'tune-000.mid\ttr\e[2Jain\n' >"split$evil"
clean "$tutti" preprocess "corpus$evil" -o bad --split-file "split$evil"

# ---- train: names in settings cannot contain C0, but can contain the others ----
mv "data$evil" "data$turned"
mkdir -p "runs$turned"
cat >"run$evil.conf" <<END
[data]
dataset = data$turned
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
dir = runs$turned/first
samples = 1
sample_seconds = 1
END
works "$tutti" train "run$evil.conf"
works "$tutti" train "run$evil.conf" --resume
works "$tutti" train "run$evil.conf" --where
clean "$tutti" train "run$evil.conf"
clean "$tutti" train "run$evil.conf" --resume --set train.batch=8
clean "$tutti" train "run$evil.conf" --set "train.batch=$evil"
clean "$tutti" train "run$evil.conf" --set "$evil=$evil"
clean "$tutti" train "no$evil.conf"
clean "$tutti" train "run$evil.conf" --set "data.dataset=none$turned" --set run.dir=other
clean "$tutti" train "run$evil.conf" "--$evil"
clean "$tutti" train "run$evil.conf" --inject "$evil"
for line in "[$evil]" "key$evil = 1" "[train]"$'\n'"batch = $evil" "[run" "x$evil"; do
    printf '%s\n' "$line" >"bad$evil.conf"
    clean "$tutti" train "bad$evil.conf"
done
clean "$tutti" "$evil"
clean "$tutti" help "$evil"
clean env "TUTTI_KERNELS=$turned" "$tutti" train "run$evil.conf" --set run.dir=other
clean env "SLURM_JOB_ID=$evil" SLURM_PROCID=0 "$tutti" doctor "run$evil.conf"

# ---- the other commands ----
run=runs$turned/first
works "$tutti" inspect "$run" && json "$tutti" inspect "$run" --json
works "$tutti" inspect "$run" --verify
works "$tutti" inspect "data$turned" && json "$tutti" inspect "data$turned" --json
works "$tutti" inspect "data$turned" --verify
works "$tutti" inspect "data$turned/shard-0000.h5"
works "$tutti" inspect "data$turned" --diff "data$turned"
cp -r "$run" "again$evil"
works "$tutti" inspect "$run" "again$evil" "none$evil"
json "$tutti" inspect "$run" "again$evil" "none$evil" --json
works "$tutti" inspect "$run" --diff "again$evil"
works "$tutti" inspect "corpus$evil/tune$evil.mid"
json "$tutti" inspect "corpus$evil/tune$evil.mid" --json
clean "$tutti" inspect "corpus$evil/cut$evil.mid" --verify
clean "$tutti" inspect "corpus$evil/named.mid"
clean "$tutti" inspect "no$evil"
clean "$tutti" inspect "run$evil.conf"
works "$tutti" generate "$run" -o "out$evil.mid" --seconds 1 --prime \
    "corpus$evil/tune$evil.mid"
clean "$tutti" generate "no$evil" -o "out$evil.mid"
clean "$tutti" generate "$run" -o "out$evil.wav"
clean "$tutti" generate "$run" -o "out.mid" --seconds "$evil"
works "$tutti" evaluate "$run" "data$turned"
json "$tutti" evaluate "$run" "data$turned" --json
clean "$tutti" evaluate "no$evil" "no$evil"
clean "$tutti" evaluate "$run" "data$turned" --split "$evil"
clean "$tutti" doctor "run$evil.conf"
clean "$tutti" doctor "run$evil.conf" --json
clean "$tutti" doctor --run-dir "no$evil"
clean "$tutti" bench "no$evil"
clean "$tutti" demo -o "corpus$evil"
clean "$tutti" demo -o "plain.mid/$evil"
clean "$tutti" demo -o "demo$evil" --pieces 80 --epochs 1 --ranks 1
works "$tutti" demo -o "demo$turned" --pieces 80 --epochs 1 --ranks 1

# ---- the printed command restores the same words ----
"$tutti" train "run$evil.conf" --set run.dir=copy --set train.max_steps=2 >out 2>err ||
    fail "train: $(cat -v err)"
"$tutti" train "run$evil.conf" --resume 2>&1 | grep -q "is complete" || fail "resume"
mkdir -p again
next=$("$tutti" train "run$evil.conf" --set "run.dir=again/$turned" 2>&1 |
    sed -n 's/^next: //p')
eval "$next" >out 2>err || fail "the printed command fails: $next: $(cat -v err)"

# ---- what the watchdog reports ----
if command -v "$mpirun" >/dev/null; then
    clean "$mpirun" -n 2 "$tutti" train "run$evil.conf" --set "run.dir=killed$turned" \
        --inject kill@1:3
    # MPICH may kill rank 0, too, before it has written the file or the message
    ! is_open_mpi || grep -q "root cause: rank 1" err || fail "no root cause: $(cat -v err)"
    if is_open_mpi || [ -e "killed$turned/root-cause.txt" ]; then
        LC_ALL=C awk -f raw.awk <"killed$turned/root-cause.txt" || fail "root-cause.txt"
    fi
fi

# ---- texts of HDF5 files ----
if "$python" -c "import h5py, numpy" 2>/dev/null; then
    cp -r "data$turned" hostile
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
    clean "$tutti" inspect hostile
    clean "$tutti" inspect hostile --json
    clean "$tutti" inspect hostile --verify
    clean "$tutti" train "run$evil.conf" --set data.dataset=hostile --set run.dir=hostile-run
    for file in host.h5 config.h5 object.h5; do
        clean "$tutti" inspect "$file"
        clean "$tutti" inspect "$file" --json
        clean "$tutti" inspect "$file" --verify
        clean "$tutti" generate "$file" -o out.mid --seconds 1
    done
fi
