#!/bin/bash
# Builds a static HDF5 with AddressSanitizer from the source package of this Debian
# release: only this finds faults within the library, such as use after free in the file
# driver.
#   tests/fuzz/hdf5.sh PREFIX    builds and installs there, if not done yet
# Exit code 77: apt-get has no sources. Changes nothing on the system.
set -eu
prefix=$(realpath -m "${1:?usage: tests/fuzz/hdf5.sh PREFIX}")
skip() { echo "skipped: $*"; exit 77; }

for tool in apt-get dpkg-query clang make; do
    command -v "$tool" >/dev/null || skip "no $tool"
done
version=$(dpkg-query -W -f '${source:Version}' libhdf5-dev 2>/dev/null) ||
    skip "no package libhdf5-dev"
if [[ -e $prefix/lib/libhdf5.a && "$(cat "$prefix/version" 2>/dev/null)" == "$version" ]]; then
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{sources,lists/partial}

# The system's package sources, turned into source-package entries in separate lists.
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    case $file in
    *.sources) sed 's/^Types:.*/Types: deb-src/' "$file" ;;
    *.list) sed -n 's/^deb\( \|\t\)/deb-src\1/p' "$file" ;;
    *) continue ;;
    esac >"$work/sources/$(basename "$file")" 2>/dev/null || true
done
apt=(apt-get -q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/sources"
    -o "Dir::State::Lists=$work/lists" -o APT::Sandbox::User=root)
cd "$work"
{ "${apt[@]}" update && "${apt[@]}" source --download-only "hdf5=$version"; } >log 2>&1 ||
    { cat log; skip "apt-get can't download the source of hdf5 $version"; }
mkdir source build
tar xf hdf5_*.orig.tar.* -C source --strip-components=1
cd build
export ASAN_OPTIONS=detect_leaks=0 # for the programs that configure runs
flags="-O1 -g1 -w -fsanitize=address -fno-omit-frame-pointer"
{ ../source/configure CC=clang CFLAGS="$flags" --prefix="$prefix" --disable-shared \
    --disable-hl --disable-tests --disable-tools --enable-build-mode=production &&
    make -C src -j "$(nproc)" && make -C src install; } >../log 2>&1 ||
    { tail -n 40 ../log >&2; exit 1; }
echo "$version" >"$prefix/version"
