#!/bin/bash
# The documentation: every relative link and #anchor leads somewhere, the commands that it
# shows run, and the settings that it names exist.
#
# Code blocks are fenced and have a language. Those called
#   sh        are run as they are;
#   console   hold commands after "$ " and their output, which is not compared;
#   python    are run where h5py and NumPy are installed;
#   text, ini, c   are shown only.
# The blocks of a document run in one shell, in order, in a folder of their own with a
# small corpus in the place of the reader's. A comment on the line before a block is an
# instruction:
#   <!-- not run: REASON -->    <!-- needs PROGRAM -->    <!-- exit code N -->
# and anywhere in a document
#   <!-- starts after the README's session -->
# which puts what README.md has made into the folder. What is left out is listed.
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

# prose DOCUMENT: its lines with their numbers, without code.
prose() {
    awk '/^ *```/ { code = !code; next }
         !code { gsub(/`[^`]*`/, ""); print FNR "\t" $0 }' "$source/$1"
}

# links DOCUMENT: line and target of each.
links() {
    prose "$1" | awk -F '\t' '
        { line = $1; text = substr($0, length($1) + 2) }
        match(text, /^\[[^]]*\]: */) { print line "\t" substr(text, RLENGTH + 1) }
        { while (match(text, /\]\([^)]*\)/)) {
              print line "\t" substr(text, RSTART + 2, RLENGTH - 3)
              text = substr(text, RSTART + RLENGTH) } }'
}

# anchors DOCUMENT: those that GitHub makes of its headings.
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
        ../*) fault "$1:$2: $3 leads out of the project"; return ;;
        esac
        [ -e "$source/$file" ] || { fault "$1:$2: $3: there is no $file"; return; }
    fi
    case $file in *.md) ;; *) return ;; esac
    [ -z "$anchor" ] || anchors "$file" | grep -qxF -- "$anchor" ||
        fault "$1:$2: $3: $file has no heading #$anchor"
}

checked=0
for document in "${linked[@]}"; do
    while IFS=$'\t' read -r line target; do
        case $target in http:* | https:* | mailto:*) continue ;; esac
        check_link "$document" "$line" "${target%% *}"
        checked=$((checked + 1))
    done < <(links "$document")
done
[ "$checked" -gt 20 ] || fault "only $checked links were found"
echo "$checked links of ${#linked[@]} documents"

size=$(wc -c <"$source/README.md")
[ "$size" -le 10000 ] || fault "README.md: $size bytes, more than 10000"

# ---- commands ----

# blocks DOCUMENT FOLDER: FOLDER/N has the lines of block N; a line each on stdout: N, its
# line, language, and the comment before it.
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

# typed FILE LINE: the commands of a console block that begins after LINE, with their
# continuations.
typed() {
    awk -v first="$2" '/^\$ / { print "at=" first + NR "\n" substr($0, 3); more = /\\$/; next }
         more { more = /\\$/; print; next }' "$1"
}

# Why a block is left out, or nothing.
why_not() { # LANGUAGE COMMENT
    case $2 in
    "not run: "?*) echo "${2#not run: }"; return ;;
    "needs "*) command -v "${2#needs }" >/dev/null || { echo "there is no ${2#needs }"; return; } ;;
    esac
    [ "$1" != python ] || "$python" -c "import h5py, numpy" 2>/dev/null ||
        echo "no h5py or NumPy for $python (Debian: python3-h5py, python3-numpy)"
}

# add_block DOCUMENT FILE LINE LANGUAGE COMMENT: to the document's script.
add_block() {
    local expected=0
    case $5 in "exit code "*) expected=${5#exit code } ;; esac
    echo "at=$3 expected=$expected"
    [ "$expected" = 0 ] || echo 'code=0; ('
    case $4 in
    sh) cat "$2" ;;
    console) typed "$2" "$3" ;;
    python) printf '"$python" - <<"END_OF_BLOCK"\n%s\nEND_OF_BLOCK\n' "$(cat "$2")" ;;
    esac
    [ "$expected" = 0 ] || echo ') || code=$?; ((code == expected)) || exit $((code ? code : 99))'
}

# write_script DOCUMENT: into script.sh; counts its blocks in ran and left_out.
write_script() {
    local document=$1 n line language comment reason
    cat >script.sh <<"END"
trap 'code=$?; ((code == 0)) || echo "failed with code $code at line $at"' EXIT
END
    while IFS=$'\t' read -r n line language comment; do
        case $comment in
        "" | "not run: "?* | "needs "?* | "exit code "[1-9]* | "starts after "*) ;;
        *) fault "$document:$line: the comment '$comment' is not one of test_docs.sh's" ;;
        esac
        case $language in
        sh | console | python) ;;
        text | ini | c)
            ! grep -q '^\$ ' "blocks/$n" ||
                fault "$document:$line: commands in a $language block"
            continue
            ;;
        *)
            fault "$document:$line: a code block of no known language ($language)"
            continue
            ;;
        esac
        reason=$(why_not "$language" "$comment")
        if [ -n "$reason" ]; then
            left_out+=("$document:$line: $reason")
        else
            add_block "$document" "blocks/$n" "$line" "$language" "$comment" >>script.sh
            ran=$((ran + 1))
        fi
    done < <(blocks "$document" blocks)
}

# make_folder DOCUMENT: where its commands run, in folder.
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

# run_script DOCUMENT: its output is in log.txt. README.md says itself where tutti is.
run_script() {
    (
        cd folder || exit
        path=$PATH
        [ "$1" = README.md ] || path=$PWD/build/release:$PATH
        PATH=$path OPENBLAS_NUM_THREADS=1 timeout 300 bash -eo pipefail ../script.sh
    ) >log.txt 2>&1 </dev/null
}

# The mpirun of the MPI that the build is linked with.
mkdir bin
printf '#!/bin/sh\nexec "%s" "$@"\n' "$(command -v "$mpirun")" >bin/mpirun
chmod +x bin/mpirun
export PATH=$work/bin:$PATH python
ran=0
left_out=()
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
        [ "$document" != README.md ] || fail "README.md: no block ran, and others need them"
        continue
    fi
    seconds=$SECONDS
    run_script "$document" || {
        tail -n 30 log.txt
        fault "$document: $(tail -n 1 log.txt)"
        [ "$document" != README.md ] || fail "$faults faults; other documents need this one"
    }
    echo "$document: $((ran - before)) blocks ran in $((SECONDS - seconds)) s"
    if [ "$document" = README.md ]; then mv folder README.folder; fi
done
echo "$ran blocks ran; ${#left_out[@]} were left out:"
[ "${#left_out[@]}" = 0 ] || printf '  %s\n' "${left_out[@]}"

# ---- settings ----

# Every setting there is, from the resolved settings of the README's run.
awk '/^\[/ { section = substr($0, 2, index($0, "]") - 2) }
     /^[a-z]/ { print section "." $1 }' README.folder/runs/small/settings.conf |
    sort >settings.txt
[ "$(wc -l <settings.txt)" -gt 40 ] || fault "the settings could not be listed"

# named DOCUMENT: line and name of each setting in its code, but where a failure is shown.
named() {
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
        grep -qxF "$name" settings.txt || fault "$document:$line: there is no setting $name"
    done < <(named "$document")
done

check_faults
echo ok
