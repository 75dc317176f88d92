#!/usr/bin/env bash
# Measure role models on public suites: single steps, then trajectories, with and without grammars.
#
#   runs/suites.sh                                                # the shipped models
#   MODELS=build/models SUITES="gsm8k seal-tools" runs/suites.sh  # a folder with planner/, caller/ and summarizer/
#   MODEL=FOLDER RUNS=build/backbone runs/suites.sh                # one model in all roles
#   MODELS=FOLDER STRATEGIES="chain single" runs/suites.sh         # and its single model (backbone/)
#
# `alpha-umi evaluate suites` lists the suites and says where their data is looked for. The untuned backbone is the
# folder that this prints:
#
#   python -c 'from alpha_umi.serving.weights import *; print(ensure_backbone(cache_folder()))'
#
# After an interruption run the same command again: complete files stay, the others are continued. Use another RUNS for
# other models or sample sizes. The report is written to $RUNS/report.md.
set -euo pipefail

RUNS=${RUNS:-build/suites}
SUITES=${SUITES:-gsm8k rotbench-gpt4 seal-tools toolbench-out-of-domain}
STEPS=${STEPS:-50}
TRAJECTORY_SUITES=${TRAJECTORY_SUITES-gsm8k rotbench-gpt4 toolbench-out-of-domain}
TRAJECTORIES=${TRAJECTORIES:-8}
MAX_STEPS=${MAX_STEPS:-4}
MODES=${MODES:-constrained unconstrained}
STRATEGIES=${STRATEGIES:-chain}
single=
[[ $STRATEGIES != *single* ]] || single=--single
models=()
[[ -z ${MODEL:-} ]] || { models=(--model "$MODEL"); export ALPHA_UMI_ROLE_MODEL=$MODEL; }
[[ -z ${MODELS:-} ]] || models=(--models "$MODELS")
# Three engines on two processors are slow; a request that timed out says nothing about a model.
export ALPHA_UMI_ROLE_TIMEOUT_S=600 ALPHA_UMI_TRAJECTORY_TIMEOUT_S=3600

mkdir -p "$RUNS"
exec 9>"$RUNS/.lock"
flock --nonblock 9 || { echo "another command works in $RUNS" >&2; exit 1; }
runs=()

# Steps: the models run in the command itself.
for suite in $SUITES; do
    for mode in $MODES; do
        for strategy in $STRATEGIES; do
            file=$RUNS/steps-$(basename "$suite" .yaml)-$mode-$strategy.jsonl
            if [[ ! -f $file ]]; then
                alpha-umi evaluate generate --in-process "${models[@]}" "--$mode" --strategy "$strategy" \
                    --suite "$suite" --limit "$STEPS" --output "$file.part"
                mv "$file.part" "$file"
            fi
            runs+=("$file")
        done
    done
done

# Trajectories: a running system for each mode.
down() { alpha-umi down --state-dir "$RUNS/state" 9>&-; }
for mode in $MODES; do
    up=
    for suite in $TRAJECTORY_SUITES; do
        for strategy in $STRATEGIES; do
            file=$RUNS/trajectories-$(basename "$suite" .yaml)-$mode-$strategy.jsonl
            if [[ ! -f $file ]]; then
                if [[ -z $up ]]; then
                    trap down EXIT
                    down
                    ALPHA_UMI_CONSTRAINED=$([[ $mode == constrained ]] && echo true || echo false) \
                        alpha-umi up $single --no-example-tools ${MODELS:+--models "$MODELS"} --state-dir "$RUNS/state" 9>&-
                    up=yes
                fi
                alpha-umi evaluate trajectories --state-dir "$RUNS/state" --concurrency 2 --strategy "$strategy" \
                    --suite "$suite" --limit "$TRAJECTORIES" --max-steps "$MAX_STEPS" --output "$file.part"
                mv "$file.part" "$file"
            fi
            runs+=("$file")
        done
    done
done

alpha-umi evaluate report "${runs[@]}" --examples 0 --markdown "$RUNS/report.md"
