#!/usr/bin/env bash
# Does splitting help, and what does each part bring? Compares runs of `runs/variants.sh` that differ in one part.
#
#   RUNS=build/variants runs/ablations.sh
#   RUNS=build/variants TRAJECTORY_SUITES="gsm8k toolalpaca-simulated" TRAJECTORIES=50 runs/ablations.sh
#
# $RUNS needs single-llm-SEED and alpha-umi-SEED. Trajectories are run here, in $RUNS/VARIANT-SEED/SUITE-KIND.jsonl:
# chain (single for Single-LLM), unguarded (without the guard against loops), dfsdt (as a search), unconstrained (without grammars).
# After an interruption run the same command again. Reports, the second run less the first, are $RUNS/ablations/*.txt.
set -euo pipefail

RUNS=${RUNS:-build/variants}
SEED=${SEED:-0}
SUITES=${SUITES:-rotbench-gpt4}
TRAJECTORY_SUITES=${TRAJECTORY_SUITES-gsm8k rotbench-gpt4}
TRAJECTORIES=${TRAJECTORIES:-20}
single=$RUNS/single-llm-$SEED split=$RUNS/alpha-umi-$SEED state=$RUNS/ablations/state
export ALPHA_UMI_ROLE_TIMEOUT_S=600 ALPHA_UMI_TRAJECTORY_TIMEOUT_S=3600

mkdir -p "$RUNS/ablations"
exec 9>"$RUNS/.lock"
flock --nonblock 9 || { echo "another command works in $RUNS" >&2; exit 1; }

# 1. Trajectories. One system serves both variants: the roles of alpha-umi, and the single model beside them.
[[ -d $split/models/backbone ]] || alpha-umi train export "$single/run" --output "$split/models"
down() { alpha-umi down --state-dir "$state" 9>&-; }
up=
system() { # system true|false: start the services with or without grammars, unless they are running
    [[ $up != "$1" ]] || return 0
    trap down EXIT
    down
    ALPHA_UMI_CONSTRAINED=$1 alpha-umi up --single --models "$split/models" --no-example-tools --state-dir "$state" 9>&-
    up=$1
}
trajectories() { # trajectories GRAMMARS FILE OPTION...
    [[ ! -f $2 ]] || return 0
    system "$1"
    alpha-umi evaluate trajectories --state-dir "$state" --limit "$TRAJECTORIES" "${@:3}" --output "$2.part"
    mv "$2.part" "$2"
}
for suite in $TRAJECTORY_SUITES; do
    name=$(basename "$suite" .yaml)
    trajectories true "$single/$name-chain.jsonl" --suite "$suite" --strategy single
    trajectories true "$split/$name-chain.jsonl" --suite "$suite"
    # A trajectory has at most 64 steps, so no call is repeated 64 times.
    trajectories true "$split/$name-unguarded.jsonl" --suite "$suite" --max-repeats 64
    trajectories true "$split/$name-dfsdt.jsonl" --suite "$suite" --strategy dfsdt
done
for suite in $TRAJECTORY_SUITES; do
    trajectories false "$split/$(basename "$suite" .yaml)-unconstrained.jsonl" --suite "$suite"
done

# 2. Differences, each paired by step or by question.
compare() { # compare TITLE FIRST SECOND OPTION...
    alpha-umi evaluate compare "$2" "$3" "${@:4}" >"$RUNS/ablations/$1.txt"
}
for suite in $SUITES; do
    name=$(basename "$suite" .yaml)
    for mode in constrained unconstrained; do
        compare "$name-splitting-$mode" "$single/$name-$mode.jsonl" "$split/$name-$mode.jsonl"
        # The same by groups of steps: reference decision, step number, number of tools.
        alpha-umi evaluate report "$single/$name-$mode.jsonl" "$split/$name-$mode.jsonl" --examples 0 \
            --markdown "$RUNS/ablations/$name-splitting-$mode.md"
    done
    compare "$name-without-grammars-single" "$single/$name-constrained.jsonl" "$single/$name-unconstrained.jsonl"
    compare "$name-without-grammars" "$split/$name-constrained.jsonl" "$split/$name-unconstrained.jsonl"
done
for suite in $TRAJECTORY_SUITES; do
    name=$(basename "$suite" .yaml)
    compare "$name-trajectories-splitting" "$single/$name-chain.jsonl" "$split/$name-chain.jsonl" --format trajectories
    for kind in unguarded dfsdt unconstrained; do
        compare "$name-trajectories-$kind" "$split/$name-chain.jsonl" "$split/$name-$kind.jsonl" --format trajectories
    done
done
