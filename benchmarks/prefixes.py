"""Training with common prefixes computed once, beside single examples: tokens by source and role, then the speed.

    .venv/bin/python -m benchmarks.prefixes PREPARED [--pack 4] [--batch 48] [--micro-tokens 16384] [--seconds-tokens N]
        [--config smollm2-135m]

PREPARED is a folder of `alpha-umi train prepare`. The first table counts, for all steps of an epoch of each role, the
tokens of the examples and those that are computed. With `--seconds-tokens` a second table has the first step of the
planner with at least so many tokens, computed both ways by the config's model. Both have the same loss.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.roles.turns import Role
from benchmarks.report import Row, show, write_json
from training.data import origins
from training.examples import ROLES, Example, Tokenized, load_tokenizer, read_examples, tokenize
from training.loop.attention import BLOCKS
from training.loop.batches import StepPlan, rounds
from training.loop.model import backbone_of, load_model
from training.loop.objective import collate
from training.loop.trees import Share, build_tree, divide
from training.recipes.loading import load_config
from training.recipes.model import MICRO_TOKENS, Config

TITLE = "Tokens of the examples, and tokens that are computed for them"


def main(
    prepared: Path,
    pack: int = 4,
    batch: int = 48,
    micro_tokens: int = MICRO_TOKENS["cuda"],
    seconds_tokens: int | None = None,
    config_name: Annotated[str, typer.Option("--config")] = "smollm2-135m",
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Print the tables."""
    config = load_config(config_name)
    backbone, _ = backbone_of(config)
    tokenizer = load_tokenizer(backbone)
    rows: list[Row] = []
    totals: Counter[tuple[str, str]] = Counter()
    for role in ROLES:
        pairs = [(example, tokenize(example, tokenizer)) for example in read_examples(prepared, "train", role)]
        if pairs:
            plan = _plan(pairs, batch, pack)
            counts = _count(pairs, plan, micro_tokens)
            totals += counts
            rows += _rows(role, counts)
            if role == "planner" and seconds_tokens is not None:
                _show_speed([tokens for _, tokens in pairs], plan, seconds_tokens, config)
    rows += _rows("all", totals)
    show(TITLE, rows)
    write_json(json_file, TITLE, rows)


def _plan(pairs: Sequence[tuple[Example, Tokenized]], batch: int, pack: int) -> StepPlan:
    lengths = tuple(len(tokens.input_ids) for _, tokens in pairs)
    return StepPlan(lengths, batch, epochs=1, seed=0, pack=pack, origins=origins(pairs))


def _count(pairs: Sequence[tuple[Example, Tokenized]], plan: StepPlan, limit: int) -> Counter[tuple[str, str]]:
    """Tokens by source and kind. Those of a tree count for the source of its first example."""
    counts: Counter[tuple[str, str]] = Counter()
    examples = [tokens for _, tokens in pairs]
    for step in range(1, plan.steps() + 1):
        chosen = plan.examples(step)
        for number in chosen:
            counts[pairs[number][0].source, "tokens"] += plan.lengths[number]
        for share in divide(chosen, examples, limit=limit):
            counts[pairs[share.examples[0]][0].source, "computed"] += share.tokens
    return counts


def _rows(role: Role | str, counts: Counter[tuple[str, str]]) -> list[Row]:
    rows = []
    for source in sorted({source for source, _ in counts}):
        tokens, computed = counts[source, "tokens"], counts[source, "computed"]
        rows.append({"role": role, "source": source, "tokens": tokens, "computed": computed, "x": tokens / computed})
    return rows


def _show_speed(examples: Sequence[Tokenized], plan: StepPlan, least: int, config: Config) -> None:
    step = next(step for step in range(1, plan.steps() + 1) if plan.tokens(step) >= least)
    show("One step of the planner", [_timed(examples, plan, step, config, shared=shared) for shared in (False, True)])


def _timed(examples: Sequence[Tokenized], plan: StepPlan, step: int, config: Config, *, shared: bool) -> Row:
    """On the CPU, without the update of the weights, which is the same for both."""
    backbone, _ = backbone_of(config)
    attention = BLOCKS if shared else None
    module = load_model(config, backbone, None, seed=0, bf16=False, attention=attention).train()
    limit = MICRO_TOKENS["cpu"]
    began = time.monotonic()
    chosen = plan.examples(step)
    singles = [Share((number,), plan.lengths[number]) for number in chosen]
    shares = divide(chosen, examples, limit=limit) if shared else singles
    lengths = [share.tokens for share in shares]
    summed = 0.0
    for (micro,) in rounds(range(len(shares)), lengths, processes=1, micro_tokens=limit, padded=not shared):
        trees = [build_tree([examples[number] for number in shares[share].examples]) for share in micro]
        loss = module(*collate(trees, padded=not shared))
        loss.backward()
        summed += loss.item()
    took = time.monotonic() - began
    return {
        "prefixes": "once" if shared else "repeated", "tokens": plan.tokens(step), "computed": sum(lengths),
        "seconds": took, "tokens/s": plan.tokens(step) / took, "loss": f"{summed:.3f}",
    }  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
