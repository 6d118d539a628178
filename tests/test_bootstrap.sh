#!/bin/bash
# ./bootstrap build --prefix with a fake CMake: a compiler with arguments, relative paths,
# refusals; and no script needs a newer bash than clusters have.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Replaces CMake: unpacks archives and records all other calls.
mkdir tools
cat >tools/cmake <<'END'
#!/bin/bash
if [ "$1" = -E ]; then exec "$CMAKE" "$@"; fi
printf '%s\n' "$@" >>"$CMAKE_CALLS"
END
chmod +x tools/cmake
CMAKE=$(command -v cmake) CMAKE_CALLS=$work/cmake-calls.txt
export CMAKE CMAKE_CALLS
bootstrap() { PATH=$work/tools:$PATH "$source/bootstrap" build --prefix "$@"; }

expect() { # CODE TEXT COMMAND...: the command exits with CODE; its last line contains TEXT
    local want=$1 text=$2 code=0
    shift 2
    "$@" >log.txt 2>&1 || code=$?
    [ "$code" = "$want" ] || { cat log.txt >&2; fail "$*: exit code $code, not $want"; }
    tail -n 1 log.txt | grep -qF -- "$text" || { cat log.txt >&2; fail "$*: not '$text'"; }
}

# make_prefix NAME LIBRARY: makes a folder with all four libraries except this one.
make_prefix() {
    mkdir -p "$1"/lib/pkgconfig "$1"/include/Random123
    touch "$1"/lib/pkgconfig/{smf,inih,libxxhash}.pc "$1"/include/Random123/philox.h
    rm -f "$1/lib/pkgconfig/$2.pc"
}

# ---- folders ----

mkdir empty
make_prefix here inih
expect 1 "bootstrap: $work/empty has no archive of inih that is known here" \
    bootstrap here --sources empty
expect 1 "bootstrap: --sources $work/gone: no such folder" bootstrap here --sources gone
expect 1 "bootstrap: --prefix $work/a b: no blanks" bootstrap "a b" --sources empty
expect 1 "bootstrap: --prefix $work/a	b: no blanks" bootstrap "a	b" --sources empty
expect 1 "bootstrap: --prefix: the folder is missing" bootstrap ""
[ ! -e "a b" ] || fail "a refused folder was created"
mkdir "with blank" && cd "with blank" || exit 1
expect 1 "bootstrap: --prefix $work/with blank/x: no blanks" bootstrap x --sources "$work/empty"
cd ..
[ ! -e "$source/here" ] && [ ! -e cmake-calls.txt ] || fail "created in another folder"
echo "ok: folders"

# ---- a library from an archive, with a compiler that has arguments ----

# This archive is not the release; the fake sha256sum prints the release's hash for it.
hash=$(sed -n 's/^ *"inih r59 \([0-9a-f]*\)$/\1/p' "$source/bootstrap")
[ ${#hash} = 64 ] || fail "no hash of inih in bootstrap"
printf '#!/bin/sh\necho %s "$2"\n' "$hash" >tools/sha256sum
chmod +x tools/sha256sum
mkdir -p archives inih-r59
echo 'int ini_parse(void);' >inih-r59/ini.h
cat >inih-r59/ini.c <<'END'
#include "ini.h"
#ifndef FROM_CC
#error the arguments of CC are lost
#endif
int ini_parse(void) { return FROM_CC; }
END
tar cf archives/inih.tar inih-r59
compiler=${CC:-cc}
expect 0 "bootstrap: done: $work/here/bin/tutti" \
    env CC="${compiler%% *} -DFROM_CC=7" PATH="$work/tools:$PATH" "$source/bootstrap" build \
    --prefix here --sources archives
ar t here/lib/libinih.a | grep -q '^ini.o$' || fail "no library"
grep -q "^prefix=$work/here$" here/lib/pkgconfig/inih.pc || fail "$(cat here/lib/pkgconfig/inih.pc)"
grep -qxF -- "-DCMAKE_INSTALL_PREFIX=$work/here" cmake-calls.txt || fail "CMake: $(cat cmake-calls.txt)"
! grep -qxF -- '' cmake-calls.txt || fail "CMake gets an empty argument: $(cat cmake-calls.txt)"
make_prefix other inih
expect 1 "bootstrap: no-such-compiler is missing" \
    env CC="no-such-compiler -m64" PATH="$work/tools:$PATH" "$source/bootstrap" build \
    --prefix other --sources archives
echo "ok: a compiler with arguments"

# ---- under set -u, bash before 4.4 treats an empty array as unset ----

for script in "$source/bootstrap" "$source"/slurm/*.sbatch; do
    grep -q '^set -[a-z]*u' "$script" || continue
    # shellcheck disable=SC2013 # names have no blanks
    for array in $(grep -oE '[a-z_]+=\(\)' "$script" | sed 's/=()//' | sort -u); do
        # filled, or its size checked, before use
        [[ " all counts files missing objects configurations arguments " == *" $array "* ]] && continue
        ! grep -nE "(^|[^+])\"\\$\{$array\[@\]\}\"" "$script" >&2 ||
            fail "$script: $array may be empty"
    done
done
echo "ok: empty arrays"
