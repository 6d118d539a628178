#!/bin/bash
# Compiles the simulated step, with the program's own sums, for SMPI.
#   bash build.sh SOURCE_DIRECTORY OUTPUT
set -eu
source=$1 output=$2
here=$source/tests/scaling
flags=(-std=c11 -O2 -D_GNU_SOURCE -Wall -Wextra -I "$source/include" -I "$source/src")
smpicc "${flags[@]}" -c "$here/simulated.c" -o "$output.o"
smpicc "${flags[@]}" -include "$here/simulated.h" "$here"/{step,ingredients,sharded}.c \
    "$source"/src/comm/{buckets,comm,comm_memory,comm_sum,rounds}.c \
    "$source"/src/base/*.c "$output.o" -o "$output" -lm -lxxhash -linih -pthread
rm "$output.o"
