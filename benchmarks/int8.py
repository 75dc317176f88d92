"""Int8 weights beside the default ones on a CPU: `python -m benchmarks.int8 [--json FILE] [--quick]`.

Each kind of weights is served by an engine in a process of its own, one after the other, with the same prompts. Start
is the time to the first engine that answers; TTFT is that of a new prompt; decode is all streams together; memory is
the resident set of the engine's processes. Agreement is the share of the default's greedy tokens that come again
before the two texts part for the first time, over the planner's prompts: quality itself is not measured here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from alpha_umi.roles.template import load_template, render
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.engine import Generation
from alpha_umi.serving.vllm_engine import VllmEngine, VllmOptions
from alpha_umi.serving.weights import cache_folder, ensure_backbone
from benchmarks.int8_weights import quantize
from benchmarks.report import Row, show, write_json

TITLE = "SmolLM2-135M-Instruct on this CPU, by kind of weights"
CONTEXT = 8_192
STREAMS = (1, 8, 32)
DECODED = 64
COMPARED_TOKENS = 48
PREFILLS = (600, 2_000)
MIB = 2**20

_QUESTIONS = (
    "How many kilometres are 26.2 miles?",
    "When does the sun rise in Oslo on the first of May?",
    "How many words are in this sentence?",
    "What is the next public holiday in Japan?",
    "How far is it from Paris to Rome?",
    "Which weekday was the 20th of July 1969?",
    "What is the population of Kenya's capital?",
    "What time is it in Sydney when it is noon in Lima?",
)
_TOOL = Tool(
    "convert_unit",
    "Convert a quantity from one unit to another",
    {"type": "object", "properties": {"value": {"type": "number"}, "to": {"type": "string"}}},
)


def main() -> None:
    """Measure both kinds in child processes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="fewer tokens and streams")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure is not None:
        print(json.dumps(asyncio.run(measure(chosen.measure, quick=chosen.quick))))
        return
    with tempfile.TemporaryDirectory() as folder:
        default, int8 = ensure_backbone(cache_folder()), Path(folder, "int8")
        quantize(default, int8)
        rows = _table({"default": _in_process(default, chosen.quick), "int8 (W8A8)": _in_process(int8, chosen.quick)})
    show(TITLE, rows)
    write_json(chosen.json, TITLE, rows)


async def measure(folder: Path, *, quick: bool) -> dict[str, Any]:
    """The figures of one engine, and the texts that it wrote."""
    engine = VllmEngine(VllmOptions(folder, context=CONTEXT, kv_cache_gib=1.0))
    started = time.perf_counter()
    await engine.start()
    try:
        await _write(engine, "Hello", 1)
        figures: dict[str, Any] = {"start, s": time.perf_counter() - started}
        for tokens in PREFILLS:
            figures[f"TTFT of {tokens:,} tokens, s"] = await _ttft(engine, tokens)
        for streams in STREAMS[:2] if quick else STREAMS:
            figures[f"decode, {streams} streams, tok/s"] = await _decode_rate(engine, streams, 16 if quick else DECODED)
        figures["weights, MiB"] = (folder / "model.safetensors").stat().st_size / MIB
        figures["memory, MiB"] = _resident_mib()
        figures["texts"] = [await _plan(engine, question) for question in _QUESTIONS]
        return figures
    finally:
        await engine.stop()


async def _ttft(engine: VllmEngine, tokens: int) -> float:
    """Seconds to the first token of a prompt that the engine has not seen; the better one of two."""
    times = []
    for salt in range(2):
        prompt = f"{tokens} {salt} " + "word " * (tokens - 8)
        started = time.perf_counter()
        await _write(engine, prompt, 1)
        times.append(time.perf_counter() - started)
    return min(times)


async def _decode_rate(engine: VllmEngine, streams: int, tokens: int) -> float:
    """Tokens a second of all streams together, prefill of their short prompts included."""
    started = time.perf_counter()
    written = await asyncio.gather(
        *(_write(engine, f"Count from {number}: {number},", tokens) for number in range(streams))
    )
    return sum(count for _, count in written) / (time.perf_counter() - started)


async def _plan(engine: VllmEngine, question: str) -> list[str]:
    prompt = render("planner", load_template("toolbench-im-end"), history=[Turn("user", question)], tools=[_TOOL])
    return [chunk.text async for chunk in engine.generate(Generation(prompt, COMPARED_TOKENS), request_id=question)]


async def _write(engine: VllmEngine, prompt: str, tokens: int) -> tuple[str, int]:
    text, written = "", 0
    async for chunk in engine.generate(Generation(prompt, tokens), request_id=f"{time.perf_counter_ns()}"):
        text, written = text + chunk.text, chunk.completion_tokens
    return text, written


def _resident_mib() -> float:
    here = psutil.Process()
    return sum(process.memory_info().rss for process in (here, *here.children(recursive=True))) / MIB


def _in_process(folder: Path, quick: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.int8", "--measure", str(folder), *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - this very module
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _table(measured: dict[str, dict[str, Any]]) -> list[Row]:
    """A row a figure, with both kinds and their ratio."""
    default, int8 = measured.values()
    rows: list[Row] = [
        {"figure": name, **{kind: figures[name] for kind, figures in measured.items()}, "ratio": int8[name] / value}
        for name, value in default.items()
        if name != "texts"
    ]
    pairs = list(zip(default["texts"], int8["texts"], strict=True))
    agreeing = sum(_common(one, other) for one, other in pairs) / sum(len(one) for one, _ in pairs)
    same = sum(one == other for one, other in pairs)
    return [
        *rows,
        {"figure": "greedy tokens until the texts part", "int8 (W8A8)": agreeing},
        {"figure": f"texts that are the same, of {len(pairs)}", "int8 (W8A8)": float(same)},
    ]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the common beginning."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


if __name__ == "__main__":  # engines are started in processes that import this module again
    main()
