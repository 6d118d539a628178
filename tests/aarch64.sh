#!/bin/bash
# aarch64 on an x86-64 host: cross-compiles (preset aarch64), runs tests of the arithmetic
# under QEMU, and requires the same weights as on the host: those of test_bits.sh, and
# those of a wider model, trained here and there.
#   tests/aarch64.sh [TUTTI]    TUTTI: the host's program, default build/release/tutti
# Needs Debian. As root it installs gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and
# qemu-user if they are missing; the arm64 libraries are only unpacked, in
# build/sysroot-arm64, with package lists of their own. Exit code 77: something can't be had
# here; one line says what.
set -eu
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tutti=$(realpath "${1:-$source/build/release/tutti}")
sysroot=$source/build/sysroot-arm64
build=$source/build/aarch64
library_packages="libc6-dev libopenmpi-dev libopenblas-dev libhdf5-dev libsmf-dev
    librandom123-dev libinih-dev libxxhash-dev libcmocka-dev libgomp1"
# NAME or NAME:CASES; each runs as one rank. Left out: tests of processes and signals, for
# which QEMU's user mode is not made; tests that compute nothing; and, of those that take
# minutes, gradients compared with differences (equal weights need equal gradients) and
# large batches (whose blocks depend on no processor).
test_list=(team kernels matmul "model:logits*" "model:bits*" "model:states*" exact_sum
    gradient_sum optimizer base blake2s sandbox_child composer)

skip() {
    echo "aarch64: skipped: $*"
    exit 77
}
fail() {
    echo "FAILED: aarch64: $*" >&2
    exit 1
}

[[ -x $tutti ]] || fail "no program at $tutti (./bootstrap build makes it)"
for tool in apt-get dpkg-deb cmake ninja pkg-config; do
    command -v "$tool" >/dev/null || skip "no $tool"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ---- tools ----

find_qemu() { command -v qemu-aarch64 || command -v qemu-aarch64-static; }
have_tools() {
    command -v aarch64-linux-gnu-gcc && [[ -e /usr/aarch64-linux-gnu/lib/libc.so ]] && find_qemu
}
if ! have_tools >/dev/null; then
    ((EUID == 0)) || skip "needs the packages gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user"
    { apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
            gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user; } >"$work/log" 2>&1 </dev/null ||
        { tail -n 5 "$work/log"; skip "gcc-aarch64-linux-gnu and qemu-user can't be installed"; }
    have_tools >/dev/null || skip "no aarch64-linux-gnu-gcc or no qemu-aarch64"
fi
qemu=$(find_qemu)

# ---- libraries ----

# arm64_apt ARGUMENT...: apt-get for arm64 with the Debian sources of this system, and with
# its lists, state and downloads in $work.
arm64_apt() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o APT::Sandbox::User=root -o Dir::Etc::sourcelist="$work/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o Dir::State="$work/state" \
        -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" "$@"
}

# Prints lines of sources.list with the Debian sources of this system.
debian_sources() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=""
    [[ ! -e $keyring ]] || signed="[signed-by=$keyring]"
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' | sed -n "s|^Debian Debian |deb $signed |p" | sort -u
}

download_libraries() {
    mkdir -p "$work"/{state/lists/partial,cache/archives/partial}
    : >"$work/status"
    debian_sources >"$work/sources.list"
    if [[ ! -s $work/sources.list ]] && ((EUID == 0)); then
        apt-get update -q >"$work/log" 2>&1 || true
        debian_sources >"$work/sources.list"
    fi
    [[ -s $work/sources.list ]] || skip "apt has no package lists of Debian (apt-get update)"
    # shellcheck disable=SC2086
    { arm64_apt update && arm64_apt install -y --download-only --no-install-recommends \
        $library_packages; } >"$work/log" 2>&1 </dev/null ||
        { tail -n 5 "$work/log"; skip "the arm64 packages can't be downloaded"; }
}

# Links that a package's installation would make: absolute ones are moved into the sysroot,
# and the alternatives are set.
link_libraries() {
    local libraries=$1/usr/lib/aarch64-linux-gnu link target
    find "$1" -type l -lname '/*' -printf '%p %l\n' | while read -r link target; do
        ln -sfn "$sysroot$target" "$link"
    done
    ln -sfn openmpi/lib/libmpi.so "$libraries/libmpi.so"
    ln -sfn ompi-c.pc "$libraries/pkgconfig/mpi-c.pc"
    ln -sfn ../openblas-pthread/pkgconfig/openblas.pc "$libraries/pkgconfig/openblas.pc"
}

if [[ "$(cat "$sysroot/packages" 2>/dev/null)" != "$library_packages" ]]; then
    echo "making build/sysroot-arm64"
    download_libraries
    rm -rf "$sysroot" "$sysroot.new"
    mkdir -p "$sysroot.new"
    for package in "$work"/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$sysroot.new" --no-same-owner \
            --exclude='./usr/share/[dlm]o*' --exclude=./usr/share/man
    done
    link_libraries "$sysroot.new"
    echo "$library_packages" >"$sysroot.new/packages"
    mv "$sysroot.new" "$sysroot"
fi

# ---- build ----

targets=(tutti)
for name in "${test_list[@]}"; do targets+=("test_${name%%:*}"); done
cd "$source"
echo "building build/aarch64"
{ cmake --preset aarch64 && cmake --build --preset aarch64 --parallel "$(nproc)" \
    --target "${targets[@]}"; } >"$work/log" 2>&1 ||
    { grep -E 'rror|arning' "$work/log" >&2; tail -n 20 "$work/log" >&2; fail "the build"; }
echo "testing: $(aarch64-linux-gnu-gcc --version | head -n 1), $("$qemu" --version | head -n 1)"

# Stand-ins for the program and for mpirun. Open MPI's daemon can't be started under QEMU,
# so every job is one rank, which gives the same weights. The settings keep Open MPI from
# looking for a daemon, and must not reach the host's own MPI.
emulated=$build/emulated
mkdir -p "$emulated"
cat >"$emulated/run" <<END
#!/bin/bash
export OMPI_MCA_ess_singleton_isolated=1 OMPI_MCA_pmix=isolated OMPI_MCA_btl=self
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OPAL_PREFIX='$sysroot/usr'
exec '$qemu' -L '$sysroot' "\$@"
END
cat >"$emulated/tutti" <<END
#!/bin/bash
exec '$emulated/run' '$build/tutti' "\$@"
END
cat >"$emulated/mpirun" <<'END'
#!/bin/bash
[[ $1 == -n ]] && shift 2
exec "$@"
END
chmod +x "$emulated"/*

# ---- tests ----

run_tests() {
    local name cases log code=0 start
    export TUTTI_TEST_MATMUL=few # test_matmul takes minutes under QEMU
    export TUTTI_TEST_SKIP=other_threads_are_not_bound # starts itself, without QEMU
    for name in "${test_list[@]}"; do
        start=$SECONDS cases="*" log=$work/test_${name%%:*}
        [[ $name != *:* ]] || cases=${name#*:}
        TUTTI_TEST_CASE=$cases timeout 1500 "$emulated/run" "$build/tests/test_${name%%:*}" \
            >"$log" 2>&1 || {
            code=1
            grep -v 'RUN  \|    OK ' "$log" >&2 || true
            echo "FAILED: aarch64: test_$name" >&2
            continue
        }
        echo "ok: test_$name ($(grep -c '    OK ' "$log") cases, $((SECONDS - start)) s)"
    done
    return $code
}

# A model wider than test_bits.sh's, so that every width of microtile occurs. Also checks
# that neon is the set in use, and portable C on request.
train_wide() {
    . "$source/tests/common.sh" "$tutti"
    local precision cell native emulated_tutti=$emulated/tutti
    make_dataset corpus.tutti 24 8 "0.9 0.05 0.05"
    cat >wide.conf <<CONF
[data]
dataset = corpus.tutti
[model]
layers = 2
hidden = 104
embedding = 40
dropout = 0.2
[train]
epochs = 1
batch = 16
microbatches = 2
sequence_length = 8
max_steps = 3
seed = 7
learning_rate = 0.01
[run]
samples = 0
CONF
    # train PROGRAM KERNELS DIRECTORY: sets $hash; KERNELS are those that it must use.
    train() {
        "$1" train wide.conf --set "run.dir=$3" --set "model.cell=$cell" \
            --set "train.precision=$precision" >log.txt 2>&1 || { cat log.txt >&2; fail "$3"; }
        grep -q "^matmul  *$2" log.txt || fail "$3: not by $2: $(grep '^matmul' log.txt)"
        hash=$(hash_of "$3")
    }
    for precision in bfloat16 float32; do
        for cell in lstm gru; do
            train "$tutti" "" "native-$precision-$cell"
            native=$hash
            train "$emulated_tutti" neon "neon-$precision-$cell"
            [[ -n $hash && $hash == "$native" ]] ||
                fail "$cell, $precision: weights hash $hash, not $native as on the host"
            echo "ok: $cell, $precision: $hash on both"
        done
    done
    TUTTI_KERNELS=portable train "$emulated_tutti" portable portable
    [[ $hash == "$native" ]] || fail "portable: weights hash $hash, not $native"
}

run_tests &
test_process=$!
failed=0
(train_wide) || failed=1
TUTTI_MPIRUN=$emulated/mpirun bash tests/test_bits.sh "$emulated/tutti" || failed=1
wait $test_process || failed=1
((failed == 0)) || fail "see above"
echo "aarch64: all ok"
