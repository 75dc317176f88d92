"""Fuzz the parsers with atheris: `python tests/fuzz/fuzz_parsers.py [--seconds N] [TARGET ...]`.

Every target runs in a process of its own, because a fuzzer ends with its process. Corpora and failing inputs are stored
below `.fuzz/`; `--replay FILE` runs a target on one failing input.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".fuzz"
# Modules whose branches the fuzzer is shown; it is blind to all others.
INSTRUMENTED = ["alpha_umi", "orchestrator", "services", "httpx_sse", "yaml"]
LONGEST_INPUT = 4_096

sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def main() -> None:
    """Fuzz the targets one after the other; the exit code is 1 if one of them broke."""
    options = _options()
    if options.alone:
        _fuzz(options.targets[0], options.seconds)
    if options.replay:
        _replay(options.targets[0], options.replay)
        return
    from support.parser_targets import TARGETS

    broken = [name for name in options.targets or TARGETS if not _survives(name, options.seconds)]
    if broken:
        sys.exit(f"broken: {', '.join(broken)}; the inputs lie in {STATE}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz the parsers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them when omitted")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the one target on this input")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _survives(name: str, seconds: int) -> bool:
    """Run a target's process and print a line about it."""
    command = [sys.executable, __file__, "--alone", "--seconds", str(seconds), name]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")
    inputs = re.search(r"number_of_executed_units: +([0-9]+)", ended.stderr)
    branches = re.findall(r" cov: ([0-9]+)", ended.stderr)
    print(
        f"{name:<16}{inputs[1] if inputs else '?':>10} inputs, {branches[-1] if branches else '?'} branches", flush=True
    )
    if ended.returncode != 0:
        print(ended.stdout[-5_000:] + ended.stderr[-5_000:], flush=True)
    return ended.returncode == 0


def _fuzz(name: str, seconds: int) -> None:
    """Fuzz one target; does not return."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from support import parser_targets
    from support.json_mutation import spoilt_json
    from support.parser_seeds import SEEDS

    def mutated(data: bytes, longest: int, seed: int) -> bytes:
        """Mutate the structure of JSON half of the time; mutated bytes alone would hardly ever be JSON."""
        spoilt = spoilt_json(data, random.Random(seed)) if seed % 2 else None
        return atheris.Mutate(data, longest) if spoilt is None or len(spoilt) > longest else spoilt

    corpus = STATE / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = STATE / f"{name}.dict"
    words.write_text("".join(f'"{word}"\n' for word in _words(SEEDS[name])), encoding="ascii")
    atheris.Setup(
        [
            *(sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", f"-dict={words}"),
            *(f"-artifact_prefix={STATE}/{name}-", "-print_final_stats=1", "-timeout=20", "-rss_limit_mb=4096"),
        ],
        lambda data: parser_targets.check(name, data),
        custom_mutator=mutated,
    )
    atheris.Fuzz()


def _replay(name: str, path: Path) -> None:
    from support.parser_targets import check

    check(name, path.read_bytes())


def _words(seeds: list[bytes]) -> list[str]:
    """The words of the seeds, which a fuzzer would otherwise have to guess letter by letter."""
    return sorted({word.decode() for seed in seeds for word in re.findall(rb"[A-Za-z$#/_.-]{2,40}", seed)})


if __name__ == "__main__":
    main()
