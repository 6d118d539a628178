#!/bin/bash
# The watchdog's port from outside: on which addresses it listens and for how long;
# attacks on it, which must not disturb the run; behaviour without random numbers and with
# run.interface.
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
example=$programs/watchdog_example
faults=$programs/librandom_faults.so
command -v python3 >/dev/null || skip "no python3"

make_dataset data.tutti 60 8 "0.8 0.1 0.1"
cat >run.conf <<END
[data]
dataset = data.tutti
[model]
layers = 1
hidden = 16
embedding = 8
[train]
epochs = 2
batch = 4
microbatches = 4
sequence_length = 32
[run]
samples = 0
END
"$tutti" train run.conf --set run.dir=runs/alone >log.txt 2>&1 ||
    { cat log.txt >&2; fail "train"; }
hash=$(hash_of runs/alone)
[ -n "$hash" ] || fail "no hash"

# with_fault FAULT COMMAND...: see random_faults.c
with_fault() {
    local fault=$1
    shift
    env LD_PRELOAD="$faults" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        RANDOM_FAULT="$fault" "$@"
}

# ---- attacks, while one rank joins late ----

# Ranks of one host need no TCP, so only the watchdog listens.
export OMPI_MCA_btl=self,vader UCX_TLS=self,sm
(
    ulimit -n 160
    with_fault slow "$mpirun" -n 3 "$tutti" train run.conf --set run.dir=runs/attacked \
        --inject "slow@*:1:0.05" >log.txt 2>&1
    echo $? >code.txt
) &
job=$!
pid=()
has_three_ranks() {
    find_ranks $job
    [ ${#pid[@]} = 3 ]
}
wait_until "three ranks" has_three_ranks
python3 "$tests/watchdog/port_attack.py" "${pid[@]}" >attack.txt 2>&1 ||
    { cat attack.txt log.txt >&2; fail "the attack"; }
kill -0 $job 2>/dev/null || { cat log.txt >&2; fail "the run ended too early"; }
wait $job
[ "$(cat code.txt)" = 0 ] || { cat log.txt >&2; fail "attacked: exit code $(cat code.txt)"; }
[ "$(hash_of runs/attacked)" = "$hash" ] || fail "attacked: hash $(hash_of runs/attacked), not $hash"
ls runs/attacked/checkpoints/epoch-0002.h5 >/dev/null || fail "attacked: no checkpoint"
! grep -E "not watched|root cause|warning" log.txt >&2 || fail "attacked: the run was disturbed"
grep -q "^closed" attack.txt || fail "not closed"
if is_open_mpi; then
    ! grep -E "^left" attack.txt >&2 || fail "something still listens"
    ! grep "^listens" attack.txt | grep -vE " (127\.0\.0\.1|::1)$" >&2 ||
        fail "ranks of one host listen on non-loopback addresses"
fi
echo "ok: attacked: $(grep -c ^listens attack.txt) addresses"

# ---- no random numbers, so no secret: the ranks run unwatched, with a warning ----

with_fault none "$mpirun" -n 3 "$example" none >log.txt 2>&1 ||
    { cat log.txt >&2; fail "no random numbers: exit code $?"; }
[ "$(grep -c "not watched: 2 of 3 ranks.*no random numbers for a key" log.txt)" = 1 ] ||
    { cat log.txt >&2; fail "no random numbers: no warning"; }
echo "ok: no random numbers"

# ---- run.interface ----

for ranks in 1 3; do
    "$mpirun" -n $ranks "$tutti" train run.conf --set run.dir=runs/nosuch \
        --set run.interface=nosuch9 >log.txt 2>&1
    code=$?
    # MPICH's launcher may combine the exit codes of several ranks
    [ $code = 2 ] || { cat log.txt >&2; fail "an unknown interface: exit code $code"; }
    [ "$(grep -c "^tutti: .*run.interface = nosuch9: .*available: .*lo 127\.0\.0\.1" log.txt)" = 1 ] ||
        { cat log.txt >&2; fail "an unknown interface: not one message"; }
    [ ! -e runs/nosuch/checkpoints ] || fail "an unknown interface: a run was started"
done
for interface in lo 127.0.0.1 127.0.0.0/8; do
    "$mpirun" -n 2 "$tutti" train run.conf --set run.dir=runs/here --set run.interface=$interface \
        --set train.max_steps=2 >log.txt 2>&1 && ! grep "not watched" log.txt ||
        { cat log.txt >&2; fail "run.interface = $interface"; }
    grep -q "^interface = $interface$" runs/here/settings.conf || fail "$interface is not kept"
    rm -rf runs/here
done
echo "run.interface = nosuch9" | sed 's/^run\./[run]\n/' >bad.conf
cat run.conf bad.conf >both.conf
"$mpirun" -n 2 "$tutti" doctor both.conf >log.txt 2>&1 && fail "doctor accepts an unknown interface"
[ "$(grep -c "run.interface = nosuch9: " log.txt)" = 1 ] || { cat log.txt >&2; fail "doctor"; }
"$mpirun" -n 2 "$tutti" doctor run.conf 2>&1 | grep -Eq "ports +all ranks can connect .*\(127\.0\.0\.1" ||
    fail "doctor does not name the address"
echo "ok: run.interface"
