"""Whether a LoRA adapter's tensors fit those of a backbone, seen from the shapes in the files' headers alone.

An engine that is given the adapter of a smaller backbone may copy it into a corner of its own buffers without a word.
"""

from __future__ import annotations

import re
from pathlib import Path

from alpha_umi.serving.weights.errors import AdapterUnusable

Shape = tuple[int, ...]

# peft's names: what is adapted, and which of the two factors.
_FACTOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])\.weight")


def require_fitting_tensors(adapter: Path, backbone: Path) -> None:
    """Compare an adapter's file with the weights in a backbone's folder; a folder without weights is not looked into.

    Raises `AdapterUnusable` for a module that the backbone does not have, or has in another size.
    """
    weights = {name: shape for path in sorted(backbone.glob("*.safetensors")) for name, shape in _shapes(path).items()}
    if not weights:
        return
    modules = {name.rpartition(".")[0] for name in weights}
    for name, shape in _shapes(adapter).items():
        # Outside of the layers names may stand for one another (an output layer that is the embedding).
        if (found := _FACTOR.fullmatch(name)) is None or ".layers." not in found["module"]:
            continue
        module, inner = found["module"], found["factor"] == "A"
        if module not in modules:
            raise AdapterUnusable(f"{adapter}: adapts {module}, which the backbone in {backbone} does not have")
        # Packed weights have other names, and shapes that say nothing about the module's.
        whole = weights.get(f"{module}.weight")
        if whole is not None and shape[1 if inner else 0] != whole[1 if inner else 0]:
            raise AdapterUnusable(
                f"{adapter}: {name} is {_times(shape)}, but {module} of the backbone in {backbone} is {_times(whole)}; "
                "the adapter was trained on another backbone"
            )


def _shapes(path: Path) -> dict[str, Shape]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise AdapterUnusable(f"{path}: cannot be read as safetensors: {error}") from error


def _times(shape: Shape) -> str:
    return " x ".join(map(str, shape))
