#!/bin/bash
# train.matmul = auto: tutti's kernels where any rank has SIMD kernels, else OpenBLAS; in
# the log, in the checkpoint and in resumed runs. tutti_no_simd (CMakeLists.txt) is the
# program as it is on a processor without SIMD kernels.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
unset TUTTI_KERNELS OPENBLAS_CORETYPE
no_simd=$programs/tutti_no_simd

make_dataset data.tutti 30 8 "0.8 0.1 0.1"
cat >auto.conf <<END
[data]
dataset = data.tutti
[model]
layers = 1
hidden = 24
embedding = 12
[train]
matmul = auto
epochs = 9
batch = 8
microbatches = 4
sequence_length = 256
max_steps = 4
[run]
samples = 0
END

# choose PROGRAMS ARGUMENT...: starts this rank's program of a list separated by colons.
# (mpirun of Open MPI 5.0.7 crashes if it gets several programs itself.)
cat >choose <<'END'
#!/bin/bash
IFS=: read -ra programs <<<"$1"
exec "${programs[${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}]}" "${@:2}"
END
chmod +x choose

# train RUN PROGRAMS SETTING...: trains with one rank per program: s has the SIMD kernels
# of this processor, p has none. A SETTING that begins with - is an option. Sets $hash.
train() {
    local run=$1 programs=$2 options=() list="" i setting
    shift 2
    for setting in "$@"; do
        [[ $setting == -* ]] && options+=("$setting") || options+=(--set "$setting")
    done
    for ((i = 0; i < ${#programs}; i++)); do
        [ "${programs:i:1}" = s ] && list+=$tutti: || list+=$no_simd:
    done
    "$mpirun" -n "${#programs}" ./choose "$list" train auto.conf --set "run.dir=runs/$run" \
        ${options[@]+"${options[@]}"} >log.txt 2>&1 || return
    hash=$(hash_of "runs/$run")
}

# trained RUN PROGRAMS PATTERN SETTING...: trains, and requires PATTERN in the log's only
# line about the matmul.
trained() {
    local run=$1 programs=$2 pattern=$3
    shift 3
    train "$run" "$programs" "$@" || { cat log.txt >&2; fail "$run"; }
    [ "$(grep -c '^matmul  ' log.txt)" = 1 ] || { cat log.txt >&2; fail "$run: not one line about the matmul"; }
    grep -Eq "^matmul +$pattern\$" log.txt || fail "$run: not '$pattern': $(grep '^matmul' log.txt)"
    grep -q '^done: 4 steps' log.txt || { cat log.txt >&2; fail "$run: not 4 steps"; }
}

# records RUN BACKEND NUMERICS: checks settings.conf, the checkpoint and `tutti inspect`.
records() {
    local run=$1 backend=$2 meaning="same bits on any processor"
    [ "$backend" = packed ] || meaning="bits depend on the processor"
    grep -qx "matmul = $backend" "runs/$run/settings.conf" || fail "$run: settings.conf lacks matmul = $backend"
    "$tutti" inspect "runs/$run" >inspected.txt || fail "$run: inspect"
    grep -Eq "numerics $3\$" inspected.txt || fail "$run: $(grep numerics inspected.txt)"
    grep -Eq "^  matmul +$backend: $meaning\$" inspected.txt || fail "$run: $(grep matmul inspected.txt)"
    grep -Eq "^  train.matmul +$backend +\\(default: auto\\)\$" inspected.txt || fail "$run: /config lacks $backend"
}

# refused CODE PATTERN RUN PROGRAMS SETTING...: requires that training fails with CODE and
# one line that matches.
refused() {
    local code=$1 pattern=$2 got=0
    shift 2
    train "$@" || got=$?
    [ "$got" = "$code" ] && [ "$(grep -c '^tutti: ' log.txt)" = 1 ] &&
        grep -Eq "^tutti: .*$pattern" log.txt ||
        { cat log.txt >&2; fail "exit code $got, not $code with: $pattern"; }
    echo "ok: refused: $pattern"
}

# same HASH WHAT: compares $hash
same() {
    [ "$hash" = "$1" ] || fail "$2: weights hash $hash, not $1"
    echo "ok: $2"
}

# ---- the choice, one for all ranks ----

small=(--seconds 0.001 --set model.hidden=16 --set model.embedding=8 --set train.sequence_length=16)
"$tutti" bench "${small[@]}" --json >bench.json || fail "bench"
! grep -q '"kernels": "portable"' bench.json || skip "no SIMD kernels for this processor"
kernels="[a-z0-9]+"
core="[A-Za-z0-9_]+"
depends="the weights depend on the processor"
no_kernels="no SIMD kernels for the processor"

trained packed s "$kernels" train.matmul=packed
packed=$hash
records packed packed "packed [0-9]+"
trained blas s "OpenBLAS \($core\); $depends" train.matmul=openblas
blas=$hash
[ "$packed" != "$blas" ] || echo "note: OpenBLAS gives the bits of packed here"
for ranks in s ss sss; do
    trained "auto-$ranks" $ranks "$kernels; auto chose packed: SIMD kernels for the processor"
    same "$packed" "auto with SIMD kernels on all of ${#ranks}: packed"
    records "auto-$ranks" packed "packed [0-9]+"
done
for ranks in p pp ppp; do
    trained "auto-$ranks" $ranks "OpenBLAS \($core\); auto chose openblas: $no_kernels; $depends"
    same "$blas" "auto with SIMD kernels on none of ${#ranks}: OpenBLAS"
    records "auto-$ranks" openblas "openblas [0-9]+ $core"
done
for ranks in sp ps pps; do
    trained "auto-$ranks" $ranks "($kernels|portable); auto chose packed: SIMD kernels on 1 of ${#ranks} ranks"
    same "$packed" "auto with SIMD kernels on one of ${#ranks}: packed"
    records "auto-$ranks" packed "packed [0-9]+"
done

# ---- what else decides ----

export TUTTI_KERNELS=portable
trained forced pp "portable; auto chose packed: TUTTI_KERNELS is set"
unset TUTTI_KERNELS
same "$packed" "auto with TUTTI_KERNELS: packed"
trained set p portable train.matmul=packed
same "$packed" "packed without SIMD kernels"
why="in bfloat16; auto chose packed: train.precision = bfloat16"
trained rounded p "portable, $why" train.precision=bfloat16
rounded=$hash
records rounded packed "bfloat16.*"
trained rounded-s s "$kernels, $why" train.precision=bfloat16
same "$rounded" "auto with bfloat16: packed"
refused 2 'bfloat16 needs train.matmul = packed or auto' rounded-blas p \
    train.precision=bfloat16 train.matmul=openblas
if [ "$(uname -m)" = x86_64 ]; then # a rank with other kernels of OpenBLAS
    printf '#!/bin/bash\nOPENBLAS_CORETYPE=Prescott exec "%s" "$@"\n' "$no_simd" >prescott
    chmod +x prescott
    tutti_with_simd=$tutti tutti=$PWD/prescott
    export OPENBLAS_CORETYPE=Nehalem
    trained mixed ps "portable; auto chose packed: $no_kernels, but OpenBLAS uses different kernels on the ranks"
    same "$packed" "auto with two kinds of OpenBLAS kernels: packed"
    refused 1 'kernels on different ranks \(Nehalem on .*; Prescott on .*set OPENBLAS_CORETYPE=Nehalem' \
        mixed-blas ps train.matmul=openblas
    tutti=$tutti_with_simd
    unset OPENBLAS_CORETYPE
fi

if unshare -rm true 2>/dev/null; then # OpenBLAS is not installed
    library=$(realpath "$(grep -ao '/[^[:cntrl:]]*/libopenblas[^[:cntrl:]]*' "$no_simd" | head -n 1)")
    cat >without_openblas <<END
#!/bin/bash
exec unshare -rm bash -c 'mount --bind /dev/null "$library" && exec "\$0" "\$@"' "$no_simd" "\$@"
END
    chmod +x without_openblas
    no_simd_program=$no_simd no_simd=$PWD/without_openblas
    trained missing p "portable; auto chose packed: $no_kernels, but OpenBLAS can't be loaded"
    same "$packed" "auto without OpenBLAS: packed"
    refused 1 "OpenBLAS can't be loaded" missing-blas p train.matmul=openblas
    no_simd=$no_simd_program
fi

# ---- resume: the checkpoint's backend and bits ----

# stopped RUN PROGRAM SETTING...: a run of two steps
stopped() {
    local run=$1 program=$2
    shift 2
    train "$run" "$program" train.max_steps=2 "$@" || { cat log.txt >&2; fail "$run"; }
    grep -q '^done: 2 steps' log.txt || { cat log.txt >&2; fail "$run: not 2 steps"; }
}

keeps="auto keeps the checkpoint's"
stopped moved-p s
trained moved-p pp "portable; $keeps packed; a new run would use openblas: $no_kernels" --resume
same "$packed" "packed, resumed without SIMD kernels"
records moved-p packed "packed [0-9]+"
stopped moved-s p
trained moved-s ss "OpenBLAS \($core\); $keeps openblas; a new run would use packed: SIMD kernels for the processor; $depends" --resume
same "$blas" "OpenBLAS, resumed with SIMD kernels"
records moved-s openblas "openblas [0-9]+ $core"
stopped stayed p
trained stayed ppp "OpenBLAS \($core\); auto chose openblas: $no_kernels; $depends" --resume
same "$blas" "OpenBLAS, resumed without SIMD kernels"
stopped mixed-resumed s
trained mixed-resumed ps "portable; auto chose packed: SIMD kernels on 1 of 2 ranks" --resume
same "$packed" "packed, resumed on mixed ranks"
stopped set-p s
refused 2 'train.matmul: packed in the checkpoint, openblas requested' set-p p --resume train.matmul=openblas
stopped set-s p
refused 2 'train.matmul: openblas in the checkpoint, packed requested' set-s s --resume train.matmul=packed
trained set-s s "OpenBLAS \($core\); $depends" --resume train.matmul=openblas
same "$blas" "OpenBLAS, resumed with train.matmul = openblas"
if [ "$(uname -m)" = x86_64 ]; then
    export OPENBLAS_CORETYPE=Nehalem
    stopped cores p
    export OPENBLAS_CORETYPE=Prescott
    refused 1 'kernels openblas [0-9]+ Nehalem, this run uses openblas [0-9]+ Prescott.*restore OPENBLAS_CORETYPE' \
        cores s --resume
    export OPENBLAS_CORETYPE=Nehalem
    trained cores s "OpenBLAS \(Nehalem\); $keeps openblas; .*" --resume
    unset OPENBLAS_CORETYPE
fi

# ---- other commands ----

"$tutti" train runs/auto-p/settings.conf --set run.dir=runs/again >log.txt 2>&1 ||
    { cat log.txt >&2; fail "settings.conf"; }
hash=$(hash_of runs/again)
same "$blas" "settings.conf of a run repeats it"

# evaluates PATTERN PROGRAM RUN
evaluates() {
    "$2" evaluate "runs/$3" data.tutti >evaluated.txt || fail "evaluate $3"
    grep -Eq "^matmul $1\$" evaluated.txt || fail "evaluate $3: not '$1': $(grep matmul evaluated.txt)"
}
evaluates "$kernels" "$tutti" auto-s
evaluates portable "$no_simd" auto-s
evaluates "OpenBLAS \($core\)" "$tutti" auto-p
for run in auto-s auto-p; do
    "$tutti" generate runs/$run -o one.mid --seconds 2 >log.txt || fail "generate $run"
    "$no_simd" generate runs/$run -o two.mid --seconds 2 >log.txt || fail "generate $run without SIMD kernels"
    cmp one.mid two.mid || fail "generate depends on the processor"
done
"$no_simd" bench "${small[@]}" >bench.txt &&
    grep -Eq "^matmul OpenBLAS \($core\); auto chose openblas: $no_kernels; $depends\$" bench.txt ||
    { cat bench.txt >&2; fail "bench without SIMD kernels"; }
grep -q '"matmul_note": "auto chose packed: SIMD kernels' bench.json || fail "bench --json"
doctor_note='^note .*no SIMD kernels .*auto uses OpenBLAS'
"$no_simd" doctor >doctor.txt
grep -q "$doctor_note" doctor.txt || { cat doctor.txt >&2; fail "doctor without SIMD kernels"; }
"$tutti" doctor >doctor.txt
! grep -q "$doctor_note" doctor.txt || { cat doctor.txt >&2; fail "doctor"; }
echo "all ok"
