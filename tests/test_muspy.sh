#!/bin/bash
# MusPy as the reference for the metrics of `tutti statistics` that have its formulas.
# Skipped without MusPy.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
python=${TUTTI_PYTHON:-python3}
export PYTHONDONTWRITEBYTECODE=1
"$python" -c "import muspy" 2>/dev/null || skip "no MusPy for $python"
"$python" "$tests/muspy/agreement.py" "$tutti"
