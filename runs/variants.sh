#!/usr/bin/env bash
# Train the variants of the paper, measure each on suites, and compare them with Single-LLM.
#
#   alpha-umi train prepare --config rotbench --output build/prepared
#   DATA=build/prepared runs/variants.sh                                        # all six, on a GPU
#   DATA=build/prepared CONFIG=smollm2-135m-cpu VARIANTS="alpha-umi single-llm" STEPS=100 runs/variants.sh
#   DATA=build/prepared SEEDS="0 1 2" SUITES="rotbench-gpt4 gsm8k" runs/variants.sh
#
# Each variant and seed has a folder $RUNS/VARIANT-SEED: run/ (checkpoints, losses, costs), models/ (adapters, or models
# without LoRA), and a run file for each suite and mode. After an interruption run the same command again: what is
# complete stays, the rest is continued; a folder with another config, data, seed or bound is refused. $RUNS may be copied
# to another machine in between, for example to train on a GPU (SUITES="") and to measure elsewhere. Use another RUNS for
# another STEPS. The reports are $RUNS/report-SEED-MODE.md.
set -euo pipefail

RUNS=${RUNS:-build/variants}
CONFIG=${CONFIG:-smollm2-135m}
# alpha-umi comes first: the others reuse its first stage where theirs is the same.
VARIANTS=${VARIANTS:-alpha-umi single-llm single-llm-multi-task multi-llm-one-stage alpha-umi-without-reuse two-components}
SEEDS=${SEEDS:-0}
SUITES=${SUITES-rotbench-gpt4}
STEPS=${STEPS:-200}
: "${DATA:?name the folder that alpha-umi train prepare has written}"

mkdir -p "$RUNS"
exec 9>"$RUNS/.lock"
flock --nonblock 9 || { echo "another command works in $RUNS" >&2; exit 1; }

for seed in $SEEDS; do
    trainings=()
    for variant in $VARIANTS; do
        home=$RUNS/$variant-$seed donor=$RUNS/alpha-umi-$seed/run

        # 1. Train, and export what is served.
        options=(--config "$CONFIG" --data "$DATA" --seed "$seed")
        [[ -z ${MAX_TOKENS:-} ]] || options+=(--max-tokens "$MAX_TOKENS")
        [[ $variant == alpha-umi || ! -f $donor/global/model/stage.json ]] || options+=(--reuse "$donor")
        alpha-umi train run "$variant" "${options[@]}" --output "$home/run"
        [[ -d $home/models ]] || alpha-umi train export "$home/run" --output "$home/models"
        trainings+=(--training "$home/run")

        # 2. Measure. Adapters are slow on a CPU, so each role has a merged model as long as it is measured.
        strategy=chain
        [[ $variant != single-llm ]] || strategy=single
        for suite in $SUITES; do
            for mode in constrained unconstrained; do
                file=$home/$(basename "$suite" .yaml)-$mode.jsonl
                if [[ ! -f $file ]]; then
                    [[ -d $home/merged ]] || alpha-umi train export "$home/run" --merged --output "$home/merged"
                    alpha-umi evaluate generate --in-process --models "$home/merged" "--$mode" --strategy "$strategy" \
                        --suite "$suite" --limit "$STEPS" --output "$file.part"
                    mv "$file.part" "$file"
                fi
            done
        done
        rm -rf "$home/merged"
    done

    # 3. Figures, paired differences from the first run (Single-LLM), decisions, and what training and serving cost.
    for mode in constrained unconstrained; do
        runs=()
        for variant in single-llm $VARIANTS; do
            for suite in $SUITES; do
                file=$RUNS/$variant-$seed/$(basename "$suite" .yaml)-$mode.jsonl
                [[ ! -f $file || " ${runs[*]} " == *" $file "* ]] || runs+=("$file")
            done
        done
        ((${#runs[@]} == 0)) || alpha-umi evaluate report "${runs[@]}" "${trainings[@]}" --examples 0 \
            --markdown "$RUNS/report-$seed-$mode.md"
    done
done
