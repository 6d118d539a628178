#!/bin/bash
# MidiTok as the reference for the tokens of the remi encoding. Skipped without MidiTok.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e
python=${TUTTI_PYTHON:-python3}
export PYTHONDONTWRITEBYTECODE=1
"$python" -c "import miditok, symusic, h5py" 2>/dev/null ||
    skip "no MidiTok and h5py for $python"
"$python" "$tests/miditok/agreement.py" "$tutti"
