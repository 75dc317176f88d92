"""What `training/README.md` says of the mixture's file is what the program reads."""

from __future__ import annotations

import re
from pathlib import Path

import training
from training.mixture import load_mixture
from training.sources.reading import FORMATS

DOCUMENT = (Path(training.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_the_mixture_in_the_document_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(name: ours\n.*?)```", DOCUMENT, re.DOTALL)
    (tmp_path / "ours.yaml").write_text(example, encoding="utf-8")
    mixture = load_mixture(str(tmp_path / "ours.yaml"))
    assert (mixture.overlaps, mixture.sources[0].at_most, mixture.sources[0].dev_share) == ("overlaps.tsv", 2000, 0.1)


def test_every_format_says_where_its_data_comes_from() -> None:
    table = DOCUMENT.partition("### The mixture's file")[0]
    named = re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(FORMATS)
