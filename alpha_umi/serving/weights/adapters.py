"""Trained role models: LoRA adapters, merged once into the backbone because adapters are slow on a CPU.

`<models>/smollm2-135m/<role>/` holds a LoRA adapter in peft's format or a complete model, with its manifest. A role
without one is served by the backbone.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

from alpha_umi import telemetry
from alpha_umi.roles.turns import Role
from alpha_umi.serving.manifest import MANIFEST_FILE, ModelManifest, load_manifest, verify, write_manifest
from alpha_umi.serving.weights.backbone import ensure_backbone
from alpha_umi.serving.weights.canary import quiet_transformers, write_canary
from alpha_umi.serving.weights.errors import AdapterUnusable
from alpha_umi.serving.weights.hub import hub_reference
from alpha_umi.serving.weights.model_folder import build_once, cache_folder
from alpha_umi.serving.weights.progress import Progress, part, silent

FAMILY = "smollm2-135m"
SHIPPED = Path("models")
ROOM = 600 << 20

_ADAPTER = "adapter_model.safetensors"
_SETTINGS = "adapter_config.json"
_MODEL = "model.safetensors"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json")
# Incremented when merging changes its result.
_RECIPE = 2

Shape = tuple[int, ...]
# peft's names: the adapted module, and which of the two factors.
_FACTOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])\.weight")

_log = telemetry.logger(__name__)


def embedded_role_model(
    role: Role, *, cache: Path | None = None, models_dir: Path = SHIPPED, progress: Progress = silent
) -> Path:
    """The folder of a role's default model, prepared if necessary. Raises `ManifestError`."""
    home = cache or cache_folder()
    backbone = ensure_backbone(home, part(progress, 0.0, 0.5))
    return ensure_role_model(role, home, models_dir, backbone, part(progress, 0.5, 1.0))


def ensure_role_model(role: Role, cache: Path, models_dir: Path, backbone: Path, progress: Progress = silent) -> Path:
    """The folder of a trained role model, merged unless the cache holds it intact; without one, `backbone`.

    Raises `AdapterUnusable` for a model that does not fit, other `ManifestError`s for a damaged one, `CacheUnusable`.
    """
    trained = models_dir / FAMILY / role
    if not trained.is_dir():
        return backbone
    manifest = _fitting(trained, role, backbone)
    if _MODEL in manifest.files:
        return trained
    return _ensure_merged(trained, role, cache, backbone, progress)


def ensure_named_model(role: Role, folder: Path, cache: Path, progress: Progress = silent) -> Path:
    """The folder of a model that the user names for a role; an adapter is merged into the embedded backbone.

    Raises `ManifestError`: as `ensure_backbone` and `ensure_role_model` do for an adapter, and for a folder without a
    manifest. The role's service checks whether a complete model serves the role.
    """
    if _ADAPTER not in load_manifest(folder).files:
        return folder
    backbone = ensure_backbone(cache, part(progress, 0.0, 0.5))
    _fitting(folder, role, backbone)
    return _ensure_merged(folder, role, cache, backbone, part(progress, 0.5, 1.0))


def _ensure_merged(adapter: Path, role: Role, cache: Path, backbone: Path, progress: Progress) -> Path:
    folder = cache / "models" / f"{role}-{_digest(adapter, backbone)[:12]}"

    def build(target: Path) -> None:
        _merge(adapter, backbone, target, progress)

    return build_once(folder, build, family=role, needs=ROOM, progress=progress)


def check_adapter(folder: Path, role: Role, backbone: Path) -> ModelManifest:
    """Check that a folder holds a role's LoRA adapter for a backbone; its manifest.

    Raises `AdapterUnusable` for an adapter that is missing or does not fit, other `ManifestError`s for a damaged one.
    """
    if not folder.is_dir():
        raise AdapterUnusable(f"{folder}: there is no such folder; the {role} needs an adapter there")
    manifest = _fitting(folder, role, backbone)
    if _ADAPTER not in manifest.files:
        raise AdapterUnusable(f"{folder / MANIFEST_FILE}: files has no {_ADAPTER}; a shared engine needs an adapter")
    return manifest


def _fitting(trained: Path, role: Role, backbone: Path) -> ModelManifest:
    manifest = verify(trained)
    path = trained / MANIFEST_FILE
    if manifest.role != role:
        raise AdapterUnusable(f"{path}: role is {manifest.role!r}, but the folder is for {role!r}")
    if manifest.base != (name := load_manifest(backbone).name):
        raise AdapterUnusable(f"{path}: base is {manifest.base!r}, but the backbone is {name!r}")
    if not {_MODEL, _ADAPTER} & manifest.files.keys():
        raise AdapterUnusable(f"{path}: files has neither {_ADAPTER} nor {_MODEL}")
    if _ADAPTER in manifest.files:
        if _SETTINGS not in manifest.files:
            raise AdapterUnusable(f"{path}: files has no {_SETTINGS}; an adapter needs it")
        require_fitting_tensors(trained / _ADAPTER, backbone)
        _require_same_weights(path, manifest, backbone)
    return manifest


def _require_same_weights(path: Path, adapter: ModelManifest, backbone: Path) -> None:
    """Compare the weights that an adapter was trained on with a backbone's, if both are known."""
    expected, actual = adapter.base_weights, load_manifest(backbone).weights
    if expected and actual and expected != actual:
        differ = sorted(name for name in {*expected, *actual} if expected.get(name) != actual.get(name))
        raise AdapterUnusable(
            f"{path}: base_weights: the adapter was trained on other weights than those in {backbone} "
            f"({', '.join(differ)}), which are called {adapter.base} as well; serve it on its own backbone"
        )


def _digest(*folders: Path) -> str:
    digest = hashlib.sha256(bytes([_RECIPE]))
    for folder in folders:
        digest.update((folder / MANIFEST_FILE).read_bytes())
        digest.update((hub_reference(folder) or "").encode())
    return digest.hexdigest()


def _merge(adapter: Path, backbone: Path, folder: Path, progress: Progress) -> None:
    manifest = load_manifest(adapter)
    progress(f"Merging the {manifest.role}", 0.0)
    write_merged(adapter, backbone, folder)
    progress(f"Asking the {manifest.role}", 0.5)
    canary = write_canary(folder, manifest.canary.prompt)
    if canary != manifest.canary:
        # A few tokens can differ between machines; a wrong merge shows here too.
        _log.warning("weights.canary_differs", recorded=manifest.canary.expected, merged=canary.expected)
    hub = tuple(filter(None, map(hub_reference, (backbone, adapter)))) or None
    write_manifest(folder, manifest.model_copy(update={"canary": canary, "hub": hub}))
    progress(f"The {manifest.role} is ready", 1.0)


def write_merged(adapter: Path, backbone: Path, folder: Path) -> None:
    """Merge an adapter into a backbone, and write weights and tokenizer into a folder, without a manifest."""
    merged = _merged(adapter, backbone)
    with quiet_transformers():
        merged.to(_dtype(backbone)).save_pretrained(folder)
    for name in _TOKENIZER_FILES:
        if (backbone / name).is_file():
            shutil.copyfile(backbone / name, folder / name)


def _dtype(backbone: Path) -> Any:
    """The dtype of a backbone's weights, which the merged weights retain."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(backbone, local_files_only=True).dtype


def _merged(adapter: Path, backbone: Path) -> Any:
    import torch
    from transformers import LlamaForCausalLM

    with quiet_transformers():
        base = LlamaForCausalLM.from_pretrained(backbone, dtype=torch.float32, local_files_only=True)
    return _adapted(base, adapter).merge_and_unload()


def _adapted(base: Any, adapter: Path) -> Any:
    """A model with an adapter. Raises `AdapterUnusable` unless every tensor of the adapter is loaded."""
    from peft import PeftModel
    from safetensors import safe_open

    try:
        with warnings.catch_warnings():
            # peft would leave such a module unadapted.
            warnings.filterwarnings("error", message=".*missing adapter keys")
            adapted = PeftModel.from_pretrained(base, str(adapter))
    except (LookupError, RuntimeError, TypeError, UserWarning, ValueError) as error:
        raise AdapterUnusable(f"{adapter}: {_SETTINGS} and {_ADAPTER} cannot be loaded together: {error}") from error
    with safe_open(adapter / _ADAPTER, framework="np") as file:
        written = sum(".lora_" in name for name in file.keys())  # noqa: SIM118
    loaded = sum(".lora_" in name for name, _ in adapted.named_parameters())
    if loaded != written:
        raise AdapterUnusable(
            f"{adapter}: by its {_SETTINGS} {loaded} tensors are adapted, and {_ADAPTER} has {written}"
        )
    return adapted


def require_fitting_tensors(adapter: Path, backbone: Path) -> None:
    """Compare the tensor shapes in an adapter's file header with the weights in a backbone's folder, if it has any.

    An engine may copy the adapter of a smaller backbone into a corner of its own buffers without an error.

    Raises `AdapterUnusable` for a module that the backbone does not have, or has in another size.
    """
    weights = {name: shape for path in sorted(backbone.glob("*.safetensors")) for name, shape in _shapes(path).items()}
    if not weights:
        return
    modules = {name.rpartition(".")[0] for name in weights}
    for name, shape in _shapes(adapter).items():
        # Outside of the layers, modules can be aliases (an output layer tied to the embedding).
        if (factor := _FACTOR.fullmatch(name)) is None or ".layers." not in factor["module"]:
            continue
        module, inner = factor["module"], factor["factor"] == "A"
        if module not in modules:
            raise AdapterUnusable(f"{adapter}: adapts {module}, which the backbone in {backbone} does not have")
        # Packed weights have other names, and shapes unrelated to the module's.
        base = weights.get(f"{module}.weight")
        if base is not None and shape[1 if inner else 0] != base[1 if inner else 0]:
            raise AdapterUnusable(
                f"{adapter}: {name} is {_times(shape)}, but {module} of the backbone in {backbone} is {_times(base)}; "
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
