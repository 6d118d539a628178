#!/bin/bash
# A short soak: a few kills and flipped bits; see soak.sh, which people run by hand.
set -eu
bash "$(dirname "$0")/soak.sh" "$1" 5 8
