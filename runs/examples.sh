#!/usr/bin/env bash
# Ask the 20 example questions, or those of another file (QUESTIONS), of a complete system, and print which answers
# contain the expected facts.
#
#   runs/examples.sh                                                      # the shipped models
#   MODELS=build/models RUNS=build/examples-mine runs/examples.sh          # a folder with a model for each role
#   STRATEGY=single MODELS=build/models RUNS=build/single runs/examples.sh # its single model (backbone/)
#
# After an interruption run the same command again. $RUNS/report.html shows the steps of every trajectory.
set -euo pipefail

RUNS=${RUNS:-build/examples}
QUESTIONS=${QUESTIONS:-examples/instructions.jsonl}
STRATEGY=${STRATEGY:-chain}
single=
[[ $STRATEGY != single ]] || single=--single

mkdir -p "$RUNS"
down() { alpha-umi down --state-dir "$RUNS/state"; }
trap down EXIT
down
alpha-umi up $single ${MODELS:+--models "$MODELS"} --state-dir "$RUNS/state"
python -m benchmarks.example_questions --questions "$QUESTIONS" --strategy "$STRATEGY" \
    --state-dir "$RUNS/state" --output "$RUNS/examples.jsonl"
alpha-umi evaluate report "$RUNS/examples.jsonl" --examples 20 --output "$RUNS/report.html"
