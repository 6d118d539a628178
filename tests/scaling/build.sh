#!/bin/bash
# Compiles the simulated training step with the program's own allreduce, for SMPI.
#   bash build.sh SOURCE_DIRECTORY OUTPUT
set -eu
source=$(realpath "$1") output=$(realpath "$2")
here=$source/tests/scaling
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
cd "$objects"
flags=(-std=c11 -O2 -D_GNU_SOURCE -Wall -Wextra -I "$source/include" -I "$source/src")
smpicc "${flags[@]}" -fopenmp -DTUTTI_OPENBLAS='""' -DTUTTI_VERSION='""' -c "$source"/src/base/*.c \
    "$here/simulated.c"
smpicc "${flags[@]}" -include "$here/simulated.h" -c "$here"/{step,parameters}.c \
    "$source"/src/comm/{allreduce_schedule,buckets,comm*}.c
smpicc -fopenmp ./*.o -o "$output" -lm -lxxhash -linih -pthread
