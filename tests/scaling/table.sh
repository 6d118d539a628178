#!/bin/bash
# Prints the tables of docs/scaling.md.
#   bash table.sh efficiency.csv measured.txt
here=$(dirname "$0")
bash "$here/best.sh" "$1" | awk '
function name(cluster, node) {
    return (cluster == "ethernet25" ? "25 Gbit" : "100 Gbit") ", nodes of " node " cores"
}
function cell(kind, cluster, node, cores,   key) {
    key = kind " " cluster " " node " " cores
    if (!(key in value)) return ""
    return value[key] (kind ~ /-1$/ ? "" : " (" threads[key] ")")
}
{ key = $1 " " $2 " " $3 " " $4; threads[key] = $5; value[key] = $6 }
END {
    split("ethernet25 16 fabric100 16 ethernet25 64 fabric100 64", cluster)
    split("16 64 256 1024", cores)
    split("strong weak", kinds)
    for (k = 1; k <= 2; k++) {
        print "\n" kinds[k] " scaling, efficiency in % (threads per rank):\n"
        print "| cores | 16 | 64 | 256 | 1024 |\n|---|---|---|---|---|"
        for (i = 1; i < 8; i += 2) {
            printf "| %s |", name(cluster[i], cluster[i + 1])
            for (c = 1; c <= 4; c++)
                printf " %s |", cell(kinds[k], cluster[i], cluster[i + 1], cores[c])
            print ""
        }
        printf "| %s, one thread per rank |", name("ethernet25", 16)
        for (c = 1; c <= 4; c++)
            printf " %s |", cell(kinds[k] "-1", "ethernet25", 16, cores[c])
        print ""
    }
}'
# Variants: the speed relative to ranks without an allreduce.
awk -F, '
NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
function of(name) { return $column[name] }
of("kind") == "variant" {
    what = of("sum") == "program" ? "" : " sum=" of("sum")
    if (of("bucket") != 0) what = what " bucket=" of("bucket")
    if (of("type") != "i64") what = what " type=" of("type")
    if (of("overlap") == 0) what = what " overlap=0"
    if (of("every") != 1) what = what " every=" of("every")
    if (of("near") == 0) what = what " near=0"
    if (of("jitter") != 0) what = what " jitter=" of("jitter")
    if (of("barrier") != 1) what = what " barrier=" of("barrier")
    if (what == "") { what = " as implemented"; alone = of("alone") }
    seconds[what] = of("seconds")
}
END {
    print "\nvariants on 256 cores, 25 Gbit, nodes of 16, 4 threads and 16 rows per rank:\n"
    print "| | efficiency |\n|---|---|"
    for (what in seconds)
        printf "|%s | %.1f |\n", what, 100 * alone / seconds[what] | "sort"
}' "$1"
# Computation alone, without barriers: what threads change.
awk '
$1 == "share" {
    threads = $2
    rows = $3 / $2
    seconds = 0
    most = threads > most ? threads : most
}
$1 ~ /^(forward|norm|update|pack)$/ { seconds += $2 }
$1 ~ /^(move|complete)$/ { seconds += $3 }
$1 == "end" { per_row[rows, threads] = 1000 * seconds / rows }
END {
    print "\nms of computation per row and core, by threads per rank:\n"
    printf "| rows per core |"; for (t = 1; t <= most; t *= 2) printf " %d |", t
    printf "\n|---|"; for (t = 1; t <= most; t *= 2) printf "---|"
    print ""
    for (r = 1; r <= 64; r *= 4) {
        printf "| %d |", r
        for (t = 1; t <= most; t *= 2)
            printf((r, t) in per_row ? " %.1f |" : " |", per_row[r, t])
        print ""
    }
}' "$2"
