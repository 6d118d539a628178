# The curves of strong and weak scaling: efficiency.csv -> efficiency.svg
set terminal svg size 760,400 font "sans,13" background rgb "white"
set output "efficiency.svg"
set logscale x 2
set xrange [12:1360]
set yrange [0:119]
set xtics (16, 64, 256, 1024)
set ytics 20
set grid ytics lc rgb "#dddddd"
set xlabel "cores"
points(kind, cluster, node) = sprintf("< bash best.sh efficiency.csv | \
    awk '$1 == \"%s\" && $2 == \"%s\" && $3 == %d'", kind, cluster, node)
set multiplot layout 1,2
do for [kind in "strong weak"] {
    is_strong = kind eq "strong"
    set title is_strong ? "strong scaling: 1024 rows" : "weak scaling: 16 rows per core"
    set ylabel is_strong ? "% of the speed of as many single cores" : ""
    if (is_strong) { unset key } else {
        set key bottom left Left reverse samplen 1.5 font "sans,11"
    }
    plot points(kind, "fabric100", 16) using 4:6 with linespoints lw 2 pt 7 \
             lc rgb "#1b7837" title "100 Gbit/s, nodes of 16 cores", \
         points(kind, "fabric100", 64) using 4:6 with linespoints lw 2 pt 6 \
             lc rgb "#5aae61" title "100 Gbit/s, nodes of 64", \
         points(kind, "ethernet25", 16) using 4:6 with linespoints lw 2 pt 5 \
             lc rgb "#2166ac" title "25 Gbit/s, nodes of 16", \
         points(kind, "ethernet25", 64) using 4:6 with linespoints lw 2 pt 4 \
             lc rgb "#67a9cf" title "25 Gbit/s, nodes of 64", \
         points(kind."-1", "ethernet25", 16) using 4:6 with linespoints lw 1 dt 2 pt 8 \
             lc rgb "#b35806" title "25 Gbit/s, one thread per rank"
}
unset multiplot
