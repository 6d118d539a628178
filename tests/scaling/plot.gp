# The curve of weak scaling: efficiency.csv -> efficiency.svg
set terminal svg size 760,420 font "sans,13"
set output "efficiency.svg"
set datafile separator ","
set logscale x 2
set xrange [1:1400]
set yrange [0:104]
set xtics (1, 2, 4, 16, 64, 256, 1024)
set ytics 10
set grid ytics lc rgb "#dddddd"
set key bottom left Left reverse samplen 2
set xlabel "ranks (16 rows each)"
set ylabel "% of the speed of as many single ranks"
lines(label, sum) = sprintf("< awk -F, '$1 == \"%s\" && $3 == 16 && $4 == \"%s\" && \
    ($7 == 0 || $4 == \"mpi\") && $5 == \"i64\" && $8 == 1 && $9 == 1 && \
    $10 == 1 && $12 == 0 && $13 == 0' efficiency.csv | sort -t, -k2n", label, sum)
plot lines("fabric100:16", "program") using 2:($16*100) with linespoints lw 2 pt 7 \
         lc rgb "#1b7837" title "100 Gbit/s, 16 ranks a node", \
     lines("ethernet25:16", "program") using 2:($16*100) with linespoints lw 2 pt 7 \
         lc rgb "#2166ac" title "25 Gbit/s, 16 ranks a node", \
     lines("ethernet25:1", "program") using 2:($16*100) with linespoints lw 2 pt 6 \
         lc rgb "#67a9cf" title "25 Gbit/s, 1 rank a node", \
     lines("ethernet25:16", "mpi") using 2:($16*100) with linespoints lw 1 dt 2 pt 4 \
         lc rgb "#b35806" title "25 Gbit/s: MPI\\_Allreduce after back-propagation", \
     lines("ethernet25:16", "flat") using 2:($16*100) with linespoints lw 1 dt 2 pt 8 \
         lc rgb "#d6604d" title "25 Gbit/s: without the two levels"
