#!/bin/bash
# Style and static analysis: clang-format (.clang-format), clang-tidy (.clang-tidy) and
# ShellCheck (.shellcheckrc) report nothing. As their reports depend on the version, those
# of Debian 12 are required: without them the test is skipped, or fails with
# TUTTI_TEST_STYLE=required, as in CI.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ "${TUTTI_TEST_STYLE:-}" != no ] || skip "TUTTI_TEST_STYLE=no"
cd "$source" || exit 1
missing=()

# has_version TOOL VERSION: true if this version is installed; otherwise adds the tool to
# `missing`.
has_version() {
    "$1" --version 2>/dev/null | grep -qE "version:? $2\." && return
    missing+=("$1 $2")
    return 1
}

# reports_nothing COMMAND...: requires that the command succeeds on the files listed on
# stdin, one per line.
reports_nothing() {
    local name=$1
    tr '\n' '\0' | xargs -0 -r -n 8 -P "$(nproc)" "$@" >"$work/$name.txt" 2>&1 &&
        echo "ok: $name" && return
    grep -v 'warnings generated' "$work/$name.txt" >&2
    report_failure "$name reports problems"
}

if has_version clang-format 14; then
    reports_nothing clang-format --dry-run -Werror < <(find include src tests -name '*.[ch]' | sort)
fi

# Tests may redefine functions of the C library, with different parameter names.
database=$(dirname "$tutti")/compile_commands.json
if has_version clang-tidy 14; then
    sed -n "s#^ *\"file\": \"$source/\(.*\)\",\?\$#\1#p" "$database" | sort -u >"$work/sources"
    [ "$(grep -c ^src/ "$work/sources")" -gt 100 ] || fail "too few files in $database"
    reports_nothing clang-tidy -p "$database" --quiet < <(grep ^src/ "$work/sources")
    reports_nothing clang-tidy -p "$database" --quiet \
        --checks=-readability-inconsistent-declaration-parameter-name \
        < <(grep ^tests/ "$work/sources")
fi

if has_version shellcheck 0.9; then
    reports_nothing shellcheck < <(find bootstrap .ci tests slurm -type f \
        \( -path 'bootstrap' -o -path '.ci/*' -o -name '*.sh' -o -name '*.sbatch' \) | sort)
fi

check_failures
[ ${#missing[@]} = 0 ] || {
    [ "${TUTTI_TEST_STYLE:-}" != required ] || fail "not installed: ${missing[*]}"
    skip "not installed, or in another version: ${missing[*]}"
}
