#!/bin/bash
# Prints the efficiency of strong and weak scaling at each number of cores:
#   KIND CLUSTER NODE CORES THREADS EFFICIENCY SECONDS, for the best number of threads
#   per rank, and the same with KIND-1 for one thread.
#   bash best.sh efficiency.csv
# The efficiency in % is the speed per core relative to one rank of one thread without an
# allreduce, with 64 rows (strong scaling) or 16 (weak scaling).
awk -F, '
NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
function of(name) { return $column[name] }
of("kind") == "strong" || of("kind") == "weak" {
    rows = of("kind") == "strong" ? 64 : 16
    if (of("threads") == 1 && of("rows") == rows)
        base[of("kind")] = rows * 128 / of("alone")
    cores = of("ranks") * of("threads")
    key = of("cluster") " " of("node") " " cores
    text = of("threads") " %.1f " of("seconds")
    speed = of("tokens_per_second") / cores
    best = of("kind") " " key
    if (speed > most[best]) {
        most[best] = speed
        line[best] = text
        kind[best] = of("kind")
    }
    if (of("threads") > 1) next
    alone = of("kind") "-1 " key
    most[alone] = speed
    line[alone] = text
    kind[alone] = of("kind")
}
END {
    for (key in line)
        printf "%s " line[key] "\n", key, 100 * most[key] / base[kind[key]]
}' "$1" | sort -k1,2 -k3,3n -k4,4n
