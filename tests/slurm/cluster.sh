#!/bin/bash
# A private Slurm cluster on this host: one slurmctld and a slurmd for each of its nodes
# n1, n2 ... It shares nothing with the host's own Slurm or munge, so several can run at
# once: random ports, its own key and sockets, everything in one folder.
#
#     cluster.sh start DIR [NODES]   then: . DIR/environment
#     cluster.sh stop DIR            also happens when the process $OWNER has exited
#                                    (default: the caller of start); OWNER=1 keeps it
#
# Needs (Debian): slurmctld slurmd slurm-client munge. Exit code 77 and a reason where
# Slurm is not installed or can't run. Partitions: low (the default), and high, which
# preempts it.
set -u

cpus=8 # of each node, independent of the host's

skip() {
    echo "no Slurm: $*"
    exit 77
}

usage() {
    sed -n '6,8s/^# *//p' "$0" >&2
    exit 2
}

# ---- start ----

free_port() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# choose_ports COUNT: prints the first of COUNT consecutive free ports below the ephemeral
# range.
choose_ports() {
    local first port
    for _ in {1..50}; do
        first=$((10000 + (RANDOM * 32768 + RANDOM) % 22000))
        for ((port = first; port < first + $1; port++)); do
            free_port "$port" || continue 2
        done
        echo "$first"
        return
    done
    return 1
}

# Required for two slurmd on one host with Open MPI and PMIx:
#   TmpFS for each node   PMIx keeps a job's sockets there under the same name on every node
#   btl = self,tcp and    else Open MPI uses shared memory between "nodes" of one
#   osc = ^sm             host (see `environment`)
# cred_expire is also how long a requeued job has to wait. Nothing here needs cgroups,
# accounting, or more privileges than root in a container.
write_conf() {
    local nodes=$1 port=$2 host user
    host=$(hostname -s) user=$(id -un)
    cat >"$dir/slurm.conf" <<CONF
ClusterName=tutti
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
SlurmUser=$user
SlurmdUser=$user
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
TmpFS=$dir/tmp-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
PropagateResourceLimits=NONE
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
CompleteWait=0
KillWait=6
EpilogMsgTime=0
JobRequeue=1
ReturnToService=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=$cpus RealMemory=1000 State=UNKNOWN
PartitionName=low Nodes=n[1-$nodes] Default=YES State=UP PriorityTier=1 GraceTime=30
PartitionName=high Nodes=n[1-$nodes] State=UP PriorityTier=10 PreemptMode=OFF
CONF
}

# Newer versions of Slurm require cgroups even if no plugin uses them.
write_cgroup_conf() {
    local version
    version=$(slurmd -V | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    rm -f "$dir/cgroup.conf"
    [ "$version" -lt 23 ] || echo "CgroupPlugin=disabled" >"$dir/cgroup.conf"
}

write_environment() {
    cat >"$dir/environment" <<END
export SLURM_CONF=$dir/slurm.conf
export OMPI_MCA_btl=self,tcp OMPI_MCA_pml=ob1 OMPI_MCA_osc=^sm OMPI_MCA_btl_tcp_if_include=lo
END
}

# Runs a daemon with a marked environment, by which `stop` finds it and its children.
run_marked() { env TUTTI_CLUSTER="$dir" SLURM_CONF="$dir/slurm.conf" "$@"; }

start_munge() {
    rm -f "$dir/munge.key"
    head -c 1024 /dev/urandom >"$dir/munge.key"
    chmod 400 "$dir/munge.key"
    run_marked munged --force --num-threads=2 --key-file="$dir/munge.key" \
        --socket="$dir/munge.socket" --pid-file="$dir/munge.pid" \
        --log-file="$dir/munge.log" --seed-file="$dir/munge.seed" \
        </dev/null >"$dir/munge.out" 2>&1
    munge --socket="$dir/munge.socket" -n >/dev/null 2>>"$dir/munge.out"
}

nodes_ready() { SLURM_CONF=$dir/slurm.conf sinfo -h -N -p low -t idle -o %N 2>/dev/null | wc -l; }

start_daemons() {
    local nodes=$1 node
    run_marked slurmctld -c </dev/null >"$dir/slurmctld.out" 2>&1 || return 1
    for ((node = 1; node <= nodes; node++)); do
        run_marked slurmd -N "n$node" </dev/null >"$dir/slurmd-n$node.out" 2>&1 || return 1
    done
    for _ in {1..600}; do
        [ "$(nodes_ready)" = "$nodes" ] && return
        grep -qs 'slurmd initialization failed' "$dir"/slurmd-*.log && return 1
        sleep 0.2
    done
    return 1
}

failure_reason() {
    grep -hE 'error|fatal' "$dir"/*.out "$dir"/*.log 2>/dev/null | tail -n 3 | tr '\n' ';'
}

# stop_after_owner PID NAME: stops the cluster once its owner has exited for any reason,
# unless the directory contains another cluster by then.
stop_after_owner() {
    local owner=$1 name=$2
    while kill -0 "$owner" 2>/dev/null; do
        [ "$(cat "$dir/name" 2>/dev/null)" = "$name" ] || return
        sleep 1
    done
    if [ "$(cat "$dir/name" 2>/dev/null)" = "$name" ]; then stop; fi
}

start() {
    local nodes=$1 program node port
    for program in slurmctld slurmd sbatch srun scontrol sinfo munged munge; do
        command -v $program >/dev/null || skip "$program is not installed"
    done
    for _ in 1 2 3; do # another process may take the ports first
        mkdir -p "$dir/state"
        chmod 755 "$dir"
        for ((node = 1; node <= nodes; node++)); do mkdir -p "$dir"/{spool,tmp}-n"$node"; done
        port=$(choose_ports $((nodes + 1))) || skip "no free ports"
        write_conf "$nodes" "$port"
        write_cgroup_conf
        echo "$port-$$" >"$dir/name"
        write_environment
        if start_munge && start_daemons "$nodes"; then
            setsid bash "$0" stop-after "$dir" "${OWNER:-$PPID}" "$port-$$" \
                </dev/null >/dev/null 2>&1 &
            return
        fi
        reason=$(failure_reason)
        stop
        rm -rf "$dir"/{state,spool-*,tmp-*} "$dir"/*.{log,out}
    done
    skip "the daemons did not start: ${reason:-no node came up}"
}

# ---- stop ----

# Processes of this cluster: daemons, their helpers, and the processes of jobs.
cluster_processes() {
    local process
    # shellcheck disable=SC2013 # paths have no blanks
    for process in $(grep -lzE "^(TUTTI_CLUSTER=$dir|SLURM_CONF=$dir/slurm.conf)\$" \
        /proc/[0-9]*/environ 2>/dev/null); do
        process=${process%/environ}
        if grep -qzE '^(TUTTI_CLUSTER|SLURM_JOB_ID)=' "$process/environ" 2>/dev/null; then
            echo "${process#/proc/}"
        fi
    done
}

stop() {
    local jobs file pid
    if [ -e "$dir/slurmctld.pid" ]; then
        export SLURM_CONF=$dir/slurm.conf
        jobs=$(timeout 5 squeue -h -o %A 2>/dev/null)
        # shellcheck disable=SC2086
        [ -n "$jobs" ] && timeout 10 scancel --quiet $jobs 2>/dev/null
        for _ in {1..20}; do
            [ -z "$(timeout 5 squeue -h 2>/dev/null)" ] && break
            sleep 0.2
        done
    fi
    for file in "$dir"/slurmd-*.pid "$dir"/slurmctld.pid "$dir"/munge.pid; do
        [ -e "$file" ] && kill "$(cat "$file")" 2>/dev/null
    done
    rm -f "$dir/name" "$dir/slurm.conf"
    for _ in {1..15}; do
        [ -z "$(cluster_processes)" ] && return
        sleep 0.2
    done
    for pid in $(cluster_processes); do kill -9 "$pid" 2>/dev/null; done
    return 0
}

[ $# -ge 2 ] || usage
command=$1
mkdir -p "$2" || exit 1
dir=$(cd "$2" && pwd)
case $command in
start) start "${3:-2}" ;;
stop) stop ;;
stop-after) stop_after_owner "$3" "$4" ;;
*) usage ;;
esac
