#!/bin/bash
# Runs the simulated step; prints one line of the table.
#   bash simulate.sh STEP MEASURED PLATFORM RANKS RANKS_PER_NODE [KEY=VALUE ...]
# SIMULATE_OPTIONS: further options for smpirun. Except with check=1, all ranks share the
# memory of large blocks, as their contents do not matter.
set -eu
step=$1 measured=$2 platform=$3 ranks=$4 per_node=$5
shift 5
share=65536
case " $* " in *" check=1 "*) share=0 ;; esac
hosts=$(mktemp)
trap 'rm -f "$hosts"' EXIT
for ((rank = 0; rank < ranks; rank++)); do
    echo "node$((rank / per_node))"
done > "$hosts"
# A failed simulation prints nothing, and smpirun may still return 0.
# shellcheck disable=SC2086
line=$(smpirun -np "$ranks" -platform "$platform" -hostfile "$hosts" \
    --cfg=smpi/auto-shared-malloc-thresh:$share --cfg=smpi/shared-malloc-blocksize:4194304 \
    --cfg=smpi/coll-selector:ompi \
    --log=root.thresh:error ${SIMULATE_OPTIONS:-} "$step" "$measured" "$@")
[ -n "$line" ] && echo "$line"
