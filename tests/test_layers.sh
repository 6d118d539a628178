#!/bin/bash
# Include rules between the source folders. The layers, lowest first:
#   base | midi, kernels, h5 | comm | watchdog, encode, nn | data | train, statistics |
#   generate | api | demo | cli
# A file includes "header.h" of its own folder and "folder/header.h" of lower layers, but
# no *_internal.h of another folder; folders of one layer do not include each other; and
# each third-party library is used by one unit only. include/tutti/tutti.h is the only
# public header.
# shellcheck disable=SC2013 # names of files have no blanks
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$source" || exit 1

declare -A layer=([base]=0 [midi]=1 [kernels]=1 [h5]=1 [comm]=2 [watchdog]=3 [encode]=3
                  [nn]=3 [data]=4 [train]=5 [statistics]=5 [generate]=6 [api]=7 [demo]=8 [cli]=9)

checked=0
for file in src/*/*.[ch]; do
    folder=$(basename "$(dirname "$file")")
    if [ -z "${layer[$folder]:-}" ]; then
        report_failure "$file: belongs to no layer"
        continue
    fi
    for header in $(sed -n 's|^ *# *include *"\([^"]*\)".*|\1|p' "$file"); do
        checked=$((checked + 1))
        to=${header%/*}
        case $header in
        tutti/tutti.h) [ "$folder" = api ] || report_failure "$file includes the public header" ;;
        *_internal.h) [ -e "src/$folder/$header" ] || report_failure "$file: $header of another folder" ;;
        */*)
            if [ ! -e "src/$header" ]; then
                report_failure "$file: src/$header does not exist"
            elif [ "${layer[$to]}" -ge "${layer[$folder]}" ]; then
                report_failure "$file ($folder) includes $header"
            fi
            ;;
        *) [ -e "src/$folder/$header" ] || report_failure "$file: $header is not of its folder" ;;
        esac
    done
done
# Within src/train the parts of the trainer call only lower ones; see trainer.c. Every
# other unit there lies below all of them. trainer.h declares their interfaces.
declare -A part=([synthetic_run]=2 [trainer_step]=1 [trainer_data]=1 [trainer_persist]=1
                 [trainer_stop]=2 [trainer_samples]=3 [trainer_resume]=2 [trainer_parts]=3 [trainer_epoch]=4
                 [trainer_setup]=4 [trainer]=5)
for file in src/train/*.[ch]; do
    unit=$(basename "${file%.[ch]}")
    level=${part[$unit]:-0}
    for to in $(sed -n 's|^ *# *include *"\(trainer[a-z_]*\)\.h".*|\1|p' "$file"); do
        [ "$to" != "$unit" ] || continue
        [ "$to" != trainer ] || [ "$level" -lt 3 ] || continue
        [ "${part[$to]:-9}" -lt "$level" ] || report_failure "$file calls upward: it includes $to.h"
    done
done
[ "$checked" -gt 300 ] || report_failure "found only $checked includes: not the source tree?"
[ "$(find include -type f)" = include/tutti/tutti.h ] ||
    report_failure "public headers: $(find include -type f)"

# included_only_by PATTERN FILE...: requires that only these files include headers that
# match.
included_only_by() {
    local pattern=$1
    shift
    for file in $(grep -lE "^ *# *include *[<\"]($pattern)[>\"]" -r src include); do
        case " $* " in
        *" $file "*) ;;
        *) report_failure "$file includes $pattern; only $* may" ;;
        esac
    done
}
included_only_by '(cblas|openblas.*)\.h' src/kernels/matmul_openblas.c
included_only_by 'mpi\.h' src/comm/comm_internal.h
included_only_by 'comm_internal\.h' src/comm/comm*.c
included_only_by '(hdf5|H5.*)\.h' src/h5/h5_internal.h src/h5/vfd.c
included_only_by 'h5_internal\.h' src/h5/*.c
included_only_by '(smf|glib)\.h' src/midi/writer.c
included_only_by 'omp\.h' src/base/team.c
included_only_by 'ini\.h' src/base/options_read.c
included_only_by 'xxhash\.h' src/base/hash.c
included_only_by 'Random123/.*' src/base/rng.c

check_failures
echo "$checked includes respect the layers"
