#!/usr/bin/env bash
# Ask the 20 example questions of a complete system, and print which answers contain the expected facts.
#
#   runs/examples.sh                                                      # the shipped models
#   MODELS=build/models OUT=build/examples-mine runs/examples.sh          # a folder with a model for each role
#
# After an interruption run the same command again. $OUT/report.html shows the steps of every trajectory.
set -euo pipefail

OUT=${OUT:-build/examples}

mkdir -p "$OUT"
down() { alpha-umi down --state-dir "$OUT/state"; }
trap down EXIT
down
alpha-umi up ${MODELS:+--models "$MODELS"} --state-dir "$OUT/state"
python -m benchmarks.example_questions --state-dir "$OUT/state" --output "$OUT/examples.jsonl"
alpha-umi evaluate report "$OUT/examples.jsonl" --examples 20 --output "$OUT/report.html"
