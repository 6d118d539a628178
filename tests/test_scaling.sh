#!/bin/bash
# The simulation of many ranks (tests/scaling): the program's own allreduce under
# SimGrid's SMPI on 8 and 12 simulated ranks with real data, and the predicted times.
# Skipped without SimGrid.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
scaling=$tests/scaling
for tool in smpicc smpirun; do
    command -v $tool > /dev/null || skip "no $tool (SimGrid)"
done

bash "$scaling/build.sh" "$source" "$work/step" || fail "the simulation can't be built"

# Measured times of a small model: a layer of two matmuls and four time steps.
cat > "$work/measured" << 'END'
shared_exchange_byte 1e-10
shared_moved_bytes 200000
shared_look 1e-6
shared_add_byte 5e-11
shared_near_byte 1e-10
tcp_exchange_byte 3e-10
tcp_moved_bytes 10000
tcp_look 1e-6
barrier 1e-6
elements 33000
share 1 2
forward 0.002 0
move 1 0.001001 0
complete 30000 0 0
move 5 0.002 0
complete 0 0.001 0
norm 0.0001
update 0.0002
pack 0.0001
end
share 8 2
forward 0.001 4
move 1 0.0001 10
complete 30000 0.0001 6
complete 0 0 0
norm 0.0001
update 0.0002
pack 0.0001
end
END
alone=0.006401

# simulate RANKS RANKS_PER_NODE [KEY=VALUE ...]: prints a line of the table
simulate() {
    local ranks=$1 per_node=$2
    shift 2
    bash "$scaling/simulate.sh" "$work/step" "$work/measured" "$scaling/ethernet25.xml" "$ranks" \
        "$per_node" rows=2 bucket=4000 "$@" 2> "$work/errors"
}

# seconds LINE, alone LINE (without an allreduce), exposed LINE
seconds() { echo "$1" | cut -d, -f14; }
alone() { echo "$1" | cut -d, -f15; }
exposed() { echo "$1" | cut -d, -f17; }

# holds CONDITION: true if the awk expression holds
holds() { awk "BEGIN { exit !($1) }"; }

# Also nodes of unequal size (12 ranks on nodes of 8), for which the schedule has one
# level.
for ranks in 8:4 12:8 7:7; do
    for sum in program flat mpi; do
        line=$(simulate ${ranks%:*} ${ranks#*:} sum=$sum check=1 network=tcp)
        predicted=$(seconds "$line")
        holds "${predicted:-0} > $alone && ${predicted:-0} < 2 * $alone" ||
            report_failure "$ranks $sum: $line $(tail -1 "$work/errors")"
    done
done
simulate 8 4 check=1 type=f32 > /dev/null || report_failure "floats: $(tail -1 "$work/errors")"

# A wrong sum is detected: check compares the values of every rank.
simulate 8 4 check=1 sum=none > /dev/null && report_failure "a missing sum is accepted"

# One rank alone takes the sum of the measured times; twice the rows take twice the time.
line=$(simulate 1 1)
holds "$(seconds "$line") == $alone && $(alone "$line") == $alone" ||
    report_failure "alone: $line"
line=$(simulate 1 1 rows=4)
holds "$(seconds "$line") > 1.8 * $alone" || report_failure "4 rows: $line"

# Of 8 threads one is simulated: 1.6 ms, and 20 barriers of 4 us each, or of 8 us.
line=$(simulate 1 1 threads=8)
holds "$(seconds "$line") == 0.00168" || report_failure "8 threads: $line"
line=$(simulate 1 1 threads=8 barrier=2)
holds "$(seconds "$line") == 0.00176" || report_failure "8 threads, slow barriers: $line"
simulate 1 1 threads=4 > /dev/null && report_failure "4 threads were not measured"

# Without overlap the allreduces cost more than during the backward pass.
overlapped=$(seconds "$(simulate 8 4 network=tcp)")
serial=$(seconds "$(simulate 8 4 network=tcp overlap=0)")
holds "$serial > $overlapped && $overlapped > $alone" || report_failure "overlapped $overlapped, serial $serial, alone $alone"

# The cost of an allreduce, computed by hand: two ranks of a host exchange halves of 132 000 bytes
# twice, at 0.05 ns per byte for each of the two copies, and as much for the addition in
# the first exchange: 33 us of CPU time; plus two messages of 1.6 us + 1.3 us. Between
# hosts TCP's copies cost 79 us.
exposed=$(exposed "$(simulate 2 2 bucket=40000 overlap=0 near=0)")
holds "$exposed >= 0.000038 && $exposed <= 0.000040" || report_failure "a sum within a host: $exposed s"
# Reading the other rank's memory, at 0.1 ns per byte, takes 26 us.
near=$(exposed "$(simulate 2 2 bucket=40000 overlap=0)")
holds "$near >= 0.000031 && $near <= 0.000033" || report_failure "a sum in shared memory: $near s"
free=$(exposed "$(simulate 2 1 bucket=40000 overlap=0 network=rdma)")
tcp=$(exposed "$(simulate 2 1 bucket=40000 overlap=0 network=tcp)")
holds "$tcp > $free + 0.000079" || report_failure "a sum between hosts: $free s, with TCP $tcp s"

check_failures
echo "all ok"
