#!/bin/bash
# Prints the efficiencies in efficiency.csv as a table.
#   bash table.sh efficiency.csv
awk -F, '
NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
function of(name) { return $column[name] }
{
    what = of("sum")
    if (of("bucket") != 0 && what != "mpi") what = what " bucket=" of("bucket")
    if (of("type") != "i64") what = what " " of("type")
    if (of("overlap") == 0) what = what " overlap=0"
    if (of("every") != 1) what = what " every=" of("every")
    if (of("near") == 0) what = what " messages"
    if (of("most") != -1) what = what " most=" of("most")
    if (of("together") == 1) what = what " together"
    if (of("jitter") != 0) what = what " jitter=" of("jitter")
    if (of("rows") != 16) next
    printf "%-14s %5d  %-46s %7.1f ms  %6.2f %%\n", of("label"), of("ranks"), what,
           1000 * of("seconds"), 100 * of("efficiency")
}
END { print "" }' "$1"
# Strong scaling, relative to ranks with 64 rows each and no allreduce.
awk -F, '
NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
function of(name) { return $column[name] }
of("rows") == 64 && !base { base = 64 * 128 / of("alone") }
of("ranks") * of("rows") == 1024 && of("bucket") == 0 && of("type") == "i64" \
    && of("overlap") == 1 && of("every") == 1 && of("near") == 1 \
    && of("together") == 0 && of("jitter") == 0 && of("sum") ~ /program|sharded/ {
    line[++n] = sprintf("%-14s %5d  %4d rows each  %-10s %8.1f ms ", of("label"),
                        of("ranks"), of("rows"), of("sum"), 1000 * of("seconds"))
    speed[n] = of("tokens_per_second") / of("ranks")
}
END {
    print "strong scaling, 1024 rows in total, relative to ranks of 64 rows without an allreduce"
    for (i = 1; i <= n; i++)
        printf "%s %6.2f %%\n", line[i], 100 * speed[i] / base
}' "$1"
