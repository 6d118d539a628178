#!/bin/bash
# The library in another program: library_example, built from tutti.h alone, generates the
# same files as `tutti generate`.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
example=$programs/library_example
make_run gru
write_midi primer.mid 60 62 64 65 67 69 71 72

"$example" runs/first here.mid >output.txt || fail "the example"
"$tutti" generate runs/first -o there.mid --seconds 10 --seed 42 --count 2 >/dev/null
cmp -s here.mid there-2.mid || fail "library and command make different files"
# both accept 64-bit seeds
for seed in 9223372036854775808 18446744073709551615; do
    "$example" runs/first here-seed.mid - $seed >/dev/null || fail "the example, seed $seed"
    "$tutti" generate runs/first -o seed.mid --seconds 10 --seed $seed --count 2 >/dev/null ||
        fail "generate, seed $seed"
    cmp -s here-seed.mid seed-2.mid || fail "seed $seed: library and command differ"
    cmp -s here-seed.mid here.mid && fail "seed $seed gives the file of seed 42"
done
hash=$(hash_of runs/first/checkpoints/best)
grep -q "weights $hash" output.txt ||
    fail "weights hash: $hash, output: $(cat output.txt)"
grep -q "^note 0: pitch" output.txt || fail "no notes: $(cat output.txt)"

"$example" runs/first primed.mid primer.mid >/dev/null || fail "the example with a primer"
"$tutti" generate runs/first -o primed-there.mid --seconds 10 --seed 42 --count 2 \
    --prime primer.mid --prime-seconds 2 >/dev/null
cmp -s primed.mid primed-there-2.mid || fail "with a primer: different files"
cmp -s primed.mid here.mid && fail "the primer changes nothing"
[ ! -e wrong.mid ] || fail "a note out of range was written"

# The library uses as many threads as the environment gives, if the model is large enough.
"$tutti" train first.conf --set model.hidden=288 --set train.max_steps=2 --set run.samples=0 \
    --set run.dir=runs/wide >train.txt 2>&1 || fail "train: $(cat train.txt)"
for threads in 1 3; do
    OMP_NUM_THREADS=$threads OMP_DISPLAY_AFFINITY=true OMP_AFFINITY_FORMAT="a thread" \
        "$example" runs/wide threads$threads.mid >output.txt 2>&1 || fail "$threads threads"
done
[ "$(grep -c "^a thread" output.txt)" = 3 ] || fail "3 threads: $(cat output.txt)"
cmp threads1.mid threads3.mid || fail "the library's files depend on the threads"

# The shared library exports the functions of tutti.h and nothing else, and works from
# Python.
shared=$(dirname "$tutti")/libtutti.so
nm -D --defined-only "$shared" | sed 's/.* //' | sort >visible.txt
sed -n 's/^[a-z].*\b\(tutti_[a-z_]*\)(.*/\1/p' "$source/include/tutti/tutti.h" | sort >declared.txt
[ "$(wc -l <declared.txt)" -ge 13 ] || fail "found only $(wc -l <declared.txt) functions in tutti.h"
diff declared.txt visible.txt >&2 || fail "symbols of libtutti.so (>) and functions of tutti.h (<)"
if nm -D "$shared" | grep -q __asan; then
    echo "skipped: Python client: Python lacks the sanitizer's runtime"
else
    /usr/bin/env python3 "$tests/library_client.py" "$shared" runs/first python.mid >output.txt ||
        fail "the Python client"
    cmp -s python.mid there-2.mid || fail "Python and the command make different files"
fi

# with the pianoroll encoding both keep the primer's tempo and write it to the file
"$tutti" preprocess corpus -o roll.tutti --shards 4 --split "0.8 0.1 0.1" --encoding pianoroll \
    >/dev/null 2>&1 || fail "preprocess: pianoroll"
"$tutti" train first.conf --set data.dataset=roll.tutti --set data.encoding=pianoroll \
    --set run.dir=runs/roll >/dev/null 2>&1 || fail "train: pianoroll"
tempo=750000 write_midi slow.mid 60 62 64 65 67 69 71 72
"$example" runs/roll slow-here.mid slow.mid >/dev/null || fail "the example at 80 a minute"
"$tutti" generate runs/roll -o slow-there.mid --seconds 10 --seed 42 --count 2 \
    --prime slow.mid --prime-seconds 2 >/dev/null
cmp -s slow-here.mid slow-there-2.mid || fail "at 80 beats per minute: different files"
"$tutti" inspect slow-here.mid | grep -q ' 80.00 beats per minute' || fail "not at 80 beats per minute"

# After installation, a program builds with the flags of tutti.pc against the static or
# the shared library.
cc=${CC:-cc}
client() { # KIND PREFIX
    local kind=$1 prefix=$2 pc flags
    pc=$(find "$prefix" -name tutti.pc)
    [ "$(grep -c '^Libs:' "$pc")" = 1 ] || fail "$kind: not one line of Libs: $(cat "$pc")"
    flags=$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --cflags --libs tutti) ||
        fail "$kind: pkg-config"
    # shellcheck disable=SC2086
    $cc "$tests/library_example.c" -o "client-$kind" $flags || fail "$kind: $cc, $flags"
    LD_LIBRARY_PATH=$(dirname "$(dirname "$pc")") "./client-$kind" runs/first "$kind.mid" \
        >/dev/null || fail "$kind: the program"
    cmp -s "$kind.mid" here.mid || fail "$kind: another file"
}
build=$(dirname "$tutti")
if nm "$build/libtutti.a" 2>/dev/null | grep -q __asan; then
    echo "skipped: building a program: it would lack the sanitizer's runtime"
else
    cmake --install "$build" --prefix "$PWD/installed" >install.txt || fail "$(cat install.txt)"
    client static installed
    # the shared library: a build configured like this one, with this one's libtutti.so
    mkdir -p configured shared/lib/pkgconfig shared/include
    grep -E '^[A-Za-z0-9_]+:(FILEPATH|PATH|STRING|BOOL|UNINITIALIZED)=' \
        "$build/CMakeCache.txt" >configured/CMakeCache.txt
    cmake -S "$source" -B configured -G "$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' \
        "$build/CMakeCache.txt")" -DBUILD_SHARED_LIBS=ON -DBUILD_TESTING=OFF \
        -DCMAKE_INSTALL_LIBDIR=lib >configure.txt 2>&1 || fail "$(cat configure.txt)"
    cp configured/tutti.pc shared/lib/pkgconfig
    cp "$build"/libtutti.so* shared/lib
    cp -r "$source/include/tutti" shared/include
    client shared shared
fi

# the header is self-contained, in C and in C++
for compiler in "cc -std=c11 -xc" "c++ -std=c++11 -xc++"; do
    # shellcheck disable=SC2086
    if command -v ${compiler%% *} >/dev/null; then
        echo '#include "tutti/tutti.h"' | $compiler -Wall -Wextra -Wpedantic -Werror \
            -I"$source/include" -fsyntax-only - || fail "tutti.h alone: $compiler"
    fi
done
echo "library: all as expected"
