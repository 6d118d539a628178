#!/bin/bash
# The documentation: every relative link and #anchor resolves, the commands shown run, and
# the settings named exist.
#
# Code blocks are fenced and have a language. Those called
#   sh        are run verbatim;
#   console   hold commands after "$ " and their output, which is not compared;
#   python    are run where h5py and NumPy are installed;
#   text, ini, c   are shown only.
# The blocks of a document run in one shell, in order, in a folder of their own, with a
# small corpus in place of the reader's. A comment on the line before a block is a
# directive:
#   <!-- not run: REASON -->    <!-- needs PROGRAM -->    <!-- exit code N -->
# and, anywhere in a document,
#   <!-- starts after the README's session -->
# which copies the files made by README.md into the folder. Omitted blocks are listed.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
unset "${!SLURM_@}"
export LC_ALL=C

cd "$source" || exit 1
linked=()
for document in README.md CONTRIBUTING.md CHANGELOG.md docs/*.md; do
    [ -e "$document" ] && linked+=("$document")
done
cd "$work" || exit 1

# ---- links and anchors ----

# prose DOCUMENT: prints its numbered lines without code.
prose() {
    awk '/^ *```/ { code = !code; next }
         !code { gsub(/`[^`]*`/, ""); print FNR "\t" $0 }' "$source/$1"
}

# links DOCUMENT: prints line and target of each link.
links() {
    prose "$1" | awk -F '\t' '
        { line = $1; text = substr($0, length($1) + 2) }
        match(text, /^\[[^]]*\]: */) { print line "\t" substr(text, RLENGTH + 1) }
        { while (match(text, /\]\([^)]*\)/)) {
              print line "\t" substr(text, RSTART + 2, RLENGTH - 3)
              text = substr(text, RSTART + RLENGTH) } }'
}

# anchors DOCUMENT: prints the anchors that GitHub generates for its headings.
anchors() {
    awk '/^ *```/ { code = !code; next }
         code { next }
         /^#+ / {
             sub(/^#+ +/, ""); gsub(/\]\([^)]*\)/, ""); $0 = tolower($0)
             gsub(/[^a-z0-9 _-]/, ""); gsub(/ /, "-")
             print seen[$0]++ ? $0 "-" seen[$0] - 1 : $0 }' "$source/$1"
}

# check_link DOCUMENT LINE TARGET
check_link() {
    local path=${3%%#*} anchor="" file folder=""
    case $1 in */*) folder=${1%/*}/ ;; esac
    case $3 in *#*) anchor=${3#*#} ;; esac
    file=$1
    if [ -n "$path" ]; then
        file=$(realpath -m --relative-to="$source" "$source/$folder$path")
        case $file in
        ../*) report_failure "$1:$2: $3 leaves the project"; return ;;
        esac
        [ -e "$source/$file" ] || { report_failure "$1:$2: $3: $file does not exist"; return; }
    fi
    case $file in *.md) ;; *) return ;; esac
    [ -z "$anchor" ] || anchors "$file" | grep -qxF -- "$anchor" ||
        report_failure "$1:$2: $3: $file has no heading #$anchor"
}

checked=0
for document in "${linked[@]}"; do
    while IFS=$'\t' read -r line target; do
        case $target in http:* | https:* | mailto:*) continue ;; esac
        check_link "$document" "$line" "${target%% *}"
        checked=$((checked + 1))
    done < <(links "$document")
done
[ "$checked" -gt 20 ] || report_failure "found only $checked links"
echo "$checked links of ${#linked[@]} documents"

size=$(wc -c <"$source/README.md")
[ "$size" -le 10000 ] || report_failure "README.md: $size bytes, more than 10000"

# ---- commands ----

# blocks DOCUMENT FOLDER: writes block N to FOLDER/N; prints one line per block: N, its
# line number, language, and the comment before it.
blocks() {
    awk -v folder="$2" '
        /^```/ && !code {
            code = 1; file = folder "/" ++n; printf "" >file
            comment = before ~ /^<!-- .* -->$/ ? substr(before, 6, length(before) - 9) : ""
            print n "\t" FNR "\t" (length($0) > 3 ? substr($0, 4) : "-") "\t" comment; next }
        /^```/ { code = 0; close(file); before = ""; next }
        code { print >file; next }
        before == "" && /^    +(\$ |tutti |mpirun |\.\/)/ {
            print 0 "\t" FNR "\tindented\t" }
        { before = $0 }' "$source/$1"
}

# console_commands FILE LINE: prints the commands, with continuation lines, of a console
# block that begins after LINE.
console_commands() {
    awk -v first="$2" '/^\$ / { print "at=" first + NR "\n" substr($0, 3); more = /\\$/; next }
         more { more = /\\$/; print; next }' "$1"
}

# Prints why a block is omitted, or nothing.
omit_reason() { # LANGUAGE COMMENT
    case $2 in
    "not run: "?*) echo "${2#not run: }"; return ;;
    "needs "*) command -v "${2#needs }" >/dev/null || { echo "no ${2#needs }"; return; } ;;
    esac
    [ "$1" != python ] || "$python" -c "import h5py, numpy" 2>/dev/null ||
        echo "no h5py or NumPy for $python (Debian: python3-h5py, python3-numpy)"
}

# add_block DOCUMENT FILE LINE LANGUAGE COMMENT: prints the block as a part of the script.
add_block() {
    local expected=0
    case $5 in "exit code "*) expected=${5#exit code } ;; esac
    echo "at=$3 expected=$expected"
    [ "$expected" = 0 ] || echo 'code=0; ('
    case $4 in
    sh) cat "$2" ;;
    console) console_commands "$2" "$3" ;;
    python) printf '"$python" - <<"END_OF_BLOCK"\n%s\nEND_OF_BLOCK\n' "$(cat "$2")" ;;
    esac
    [ "$expected" = 0 ] || echo ') || code=$?; ((code == expected)) || exit $((code ? code : 99))'
}

# write_script DOCUMENT: writes script.sh; adds its blocks to ran and omitted.
write_script() {
    local document=$1 n line language comment reason
    cat >script.sh <<"END"
trap 'code=$?; ((code == 0)) || echo "failed with code $code at line $at"' EXIT
END
    while IFS=$'\t' read -r n line language comment; do
        case $comment in
        "" | "not run: "?* | "needs "?* | "exit code "[1-9]* | "starts after "*) ;;
        *) report_failure "$document:$line: the comment '$comment' is not a directive of test_docs.sh" ;;
        esac
        case $language in
        sh | console | python) ;;
        text | ini | c)
            ! grep -q '^\$ ' "blocks/$n" ||
                report_failure "$document:$line: commands in a $language block"
            continue
            ;;
        *)
            report_failure "$document:$line: a code block of unknown language ($language)"
            continue
            ;;
        esac
        reason=$(omit_reason "$language" "$comment")
        if [ -n "$reason" ]; then
            omitted+=("$document:$line: $reason")
        else
            add_block "$document" "blocks/$n" "$line" "$language" "$comment" >>script.sh
            ran=$((ran + 1))
        fi
    done < <(blocks "$document" blocks)
}

# make_folder DOCUMENT: makes the folder in which its commands run; sets folder.
make_folder() {
    if grep -qxF "<!-- starts after the README's session -->" "$source/$1"; then
        cp -a README.folder folder
        return
    fi
    mkdir -p folder/build/release folder/runs/demo
    ln -s "$tutti" folder/build/release/tutti
    ln -s "$source"/{configs,slurm,tests} folder
    make_corpus folder/runs/demo/corpus 60
    mv folder/runs/demo/corpus/tune-001.mid folder/runs/demo/corpus/piece-0001.mid
}

# run_script DOCUMENT: runs script.sh with output to log.txt. README.md sets the path to
# tutti itself.
run_script() {
    (
        cd folder || exit
        path=$PATH
        [ "$1" = README.md ] || path=$PWD/build/release:$PATH
        PATH=$path OPENBLAS_NUM_THREADS=1 timeout 300 bash -eo pipefail ../script.sh
    ) >log.txt 2>&1 </dev/null
}

# A wrapper for the launcher of the MPI that the build is linked with.
mkdir bin
printf '#!/bin/sh\nexec "%s" "$@"\n' "$(command -v "$mpirun")" >bin/mpirun
chmod +x bin/mpirun
export PATH=$work/bin:$PATH python
ran=0
omitted=()
for document in README.md docs/usage.md "${linked[@]}"; do
    case $document in README.md | docs/*.md) ;; *) continue ;; esac
    [ ! -e "$(basename "$document" .md).done" ] || continue
    touch "$(basename "$document" .md).done"
    rm -rf blocks folder
    mkdir blocks
    make_folder "$document"
    before=$ran
    write_script "$document"
    if [ "$ran" = "$before" ]; then
        [ "$document" != README.md ] || fail "README.md: no block ran; others need them"
        continue
    fi
    seconds=$SECONDS
    run_script "$document" || {
        tail -n 30 log.txt
        report_failure "$document: $(tail -n 1 log.txt)"
        [ "$document" != README.md ] || fail "$failures failures; other documents need it"
    }
    echo "$document: $((ran - before)) blocks ran in $((SECONDS - seconds)) s"
    if [ "$document" = README.md ]; then mv folder README.folder; fi
done
echo "$ran blocks ran; ${#omitted[@]} were omitted:"
[ "${#omitted[@]}" = 0 ] || printf '  %s\n' "${omitted[@]}"

# ---- settings ----

# All settings, taken from the resolved settings of the README's run.
awk '/^\[/ { section = substr($0, 2, index($0, "]") - 2) }
     /^[a-z]/ { print section "." $1 }' README.folder/runs/small/settings.conf |
    sort >settings.txt
[ "$(wc -l <settings.txt)" -gt 40 ] || report_failure "the settings could not be listed"

# setting_references DOCUMENT: prints line and name of each setting in its code, except
# in blocks that show a failure.
setting_references() {
    awk '/^```/ { code = !code; if (!code) before = ""; wrong = before ~ /exit code/; next }
         { before = $0 }
         wrong && code { next }
         { text = $0
           while (match(text, /(^|[^a-z\/._-])(data|model|train|run|sample)\.[a-z_0-9]+/)) {
               name = substr(text, RSTART, RLENGTH); text = substr(text, RSTART + RLENGTH)
               sub(/^[^a-z]/, "", name)
               if (name !~ /\.(c|h|py|sh|conf|json|jsonl|mid|sbatch|h5)$/)
                   print FNR "\t" name } }' "$source/$1"
}

for document in "${linked[@]}"; do
    while IFS=$'\t' read -r line name; do
        grep -qxF "$name" settings.txt || report_failure "$document:$line: unknown setting $name"
    done < <(setting_references "$document")
done

check_failures
echo ok
