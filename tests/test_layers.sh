# Who may include whom, read off the folders' names. The layers, lowest first:
#   base | midi, kernels, h5 | parallel | encode, nn | data | train, play | library | cli
# A file includes headers of its own folder and of lower layers; folders of one layer do
# not include each other; and each foreign library is known to one unit.
#   bash test_layers.sh TUTTI SOURCE_DIRECTORY
set -u
cd "$2" || exit 1
faults=0
fault() { echo "$*"; faults=$((faults + 1)); }

declare -A layer=([base]=0 [midi]=1 [kernels]=1 [h5]=1 [parallel]=2 [encode]=3 [nn]=3
                  [data]=4 [train]=5 [play]=5 [library]=6 [cli]=7)

# The folder that a public header describes: the one with the source file of its name.
declare -A owner=([real]=base [token]=base [midi]=midi)
for folder in "${!layer[@]}"; do
    [ "$folder" = cli ] && continue # its headers are its own
    for source in src/"$folder"/*.c; do
        name=$(basename "$source" .c)
        [ -e "include/tutti/$name.h" ] && owner[$name]=$folder
    done
done

# allowed FILE FOLDER HEADER: may the file of this folder include "tutti/HEADER.h"?
allowed() {
    local from=$2 to=${owner[$3]:-}
    if [ -z "$to" ]; then
        fault "$1: tutti/$3.h: no folder has a $3.c"
    elif [ "$to" != "$from" ] && [ "${layer[$to]}" -ge "${layer[$from]}" ]; then
        fault "$1 ($from) includes tutti/$3.h ($to)"
    fi
}

checked=0
for file in include/tutti/*.h src/*/*.[ch]; do
    if [ "${file%%/*}" = include ]; then
        folder=${owner[$(basename "$file" .h)]:-}
    else
        folder=$(basename "$(dirname "$file")")
    fi
    if [ -z "$folder" ] || [ -z "${layer[$folder]:-}" ]; then
        fault "$file: belongs to no layer"
        continue
    fi
    for header in $(sed -n 's|^ *# *include *"\([^"]*\)".*|\1|p' "$file"); do
        checked=$((checked + 1))
        case $header in
        tutti/*) allowed "$file" "$folder" "$(basename "$header" .h)" ;;
        */*) fault "$file: $header: a private header of another folder" ;;
        *) [ -e "src/$folder/$header" ] || fault "$file: $header is not of its folder" ;;
        esac
    done
done
[ "$checked" -gt 300 ] || fault "only $checked includes were found: is this the source?"

# confined PATTERN FILE...: only these may include a header whose name matches.
confined() {
    local pattern=$1
    shift
    for file in $(grep -lE "^ *# *include *[<\"]($pattern)[>\"]" -r src include); do
        case " $* " in
        *" $file "*) ;;
        *) fault "$file includes $pattern; only $* may" ;;
        esac
    done
}
confined '(cblas|openblas.*)\.h' src/kernels/gemm.c
confined 'mpi\.h' src/parallel/comm_internal.h
confined 'comm_internal\.h' src/parallel/comm.c src/parallel/comm_counter.c \
    src/parallel/comm_memory.c src/parallel/comm_probe.c src/parallel/comm_sum.c
confined '(hdf5|H5.*)\.h' src/h5/h5_internal.h src/h5/disk.c
confined 'h5_internal\.h' src/h5/attributes.c src/h5/chunks.c src/h5/disk.c src/h5/h5.c \
    src/h5/links.c src/h5/lock.c src/h5/storage.c src/h5/values.c src/h5/verify.c
confined '(smf|glib)\.h' src/midi/writer.c
confined 'ini\.h' src/base/options_read.c
confined 'xxhash\.h' src/base/hash.c
confined 'Random123/.*' src/base/rng.c

[ "$faults" -eq 0 ] || { echo "$faults faults"; exit 1; }
echo "$checked includes keep to the layers"
