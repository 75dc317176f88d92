"""The manifest of a model folder: the model's role, and the digests of its files.

`alpha_umi.json` names the role, the template and the context that the model was trained with, and the answer of a
correct engine to a fixed prompt. Weights are safetensors only: formats that can run code on loading are refused.
Nothing here loads a model.

    ManifestError
    ├── ManifestUnreadable    there is no manifest, or it does not follow its schema
    ├── DigestMismatch        a file is missing, or differs from its recorded digest
    ├── UnsafeWeights         the folder holds a pickle format, or weights that the manifest does not list
    └── TemplateDiffers       the model was trained with a template that has changed since
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from alpha_umi.contract.validation import faults
from alpha_umi.roles.template import load_template, template_names
from alpha_umi.roles.turns import Role

MANIFEST_FILE = "alpha_umi.json"
PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})

Text = Annotated[str, StringConstraints(min_length=1)]
# A plain name: a manifest never points outside its own folder.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ManifestError(Exception):
    """Base of the errors of model folders."""


class ManifestUnreadable(ManifestError):
    """There is no manifest, or it does not follow its schema."""


class DigestMismatch(ManifestError):
    """A file is missing, or differs from its recorded digest. `file` is its path."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}; fetch or convert the model again")
        self.file = file


class UnsafeWeights(ManifestError):
    """The folder holds a file that must not be loaded. `file` is its path."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file


class TemplateDiffers(ManifestError):
    """The model was trained with a template that this version does not have."""


class CanaryText(BaseModel):
    """A prompt, as the tokenizer gets it, and how its greedy answer begins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Text
    # Answers are compared without surrounding white space; a blank one would match everything.
    expected: Annotated[str, StringConstraints(pattern=r"\S")]


class ModelManifest(BaseModel):
    """The content of `alpha_umi.json`.

    `template` is the name of the role template of the training; `context` counts tokens; `base` is the `name` of the
    backbone (its own for a backbone); `source` is the origin of the weights and their licence. `converted_from` are the
    SHA-256 digests of the original weight files, `files` those of the folder's files, which `write_manifest` fills in.
    `trained_on` are the digests of the training instructions, for the detection of contamination; None if unknown.
    `template_digest` is that of the template during training; a template that has changed since is refused.
    `base_weights` are the digests of the backbone's weight files during training: an adapter fits no others; None skips
    the check. `hub`: what of a merged model comes from a hub, as `org/name@commit`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    role: Role
    template: Text
    context: Annotated[int, Field(ge=1)]
    base: Text
    canary: CanaryText
    source: Text
    converted_from: dict[FileName, Sha256] = Field(default_factory=dict)
    files: dict[FileName, Sha256] = Field(default_factory=dict)
    trained_on: tuple[Sha256, ...] | None = None
    template_digest: Sha256 | None = None
    base_weights: dict[FileName, Sha256] | None = None
    hub: tuple[Text, ...] | None = None

    @property
    def weights(self) -> dict[str, str]:
        """The digests of the files with tensors."""
        return {name: digest for name, digest in self.files.items() if name.endswith(".safetensors")}


def load_manifest(folder: Path) -> ModelManifest:
    """The manifest of a model folder; its files are not verified. Raises `ManifestUnreadable`."""
    path = folder / MANIFEST_FILE
    try:
        return ModelManifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ManifestUnreadable(
            f"{path}: {error.strerror}; a model folder needs this file, unless it is an instruct model that is "
            "served as it is (ALPHA_UMI_ROLE_TEMPLATE=chat)"
        ) from error
    except ValidationError as error:
        raise ManifestUnreadable(f"{path}: {'; '.join(faults(error))}") from error


def write_manifest(folder: Path, manifest: ModelManifest) -> ModelManifest:
    """Add the digests of a folder's files, and write the manifest as its last file. Returns the complete manifest.

    Raises `UnsafeWeights` for a folder with a pickle format, and `OSError`.
    """
    refuse_pickles(folder)
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST_FILE)
    complete = manifest.model_copy(update={"files": {path.name: sha256(path) for path in files}})
    # Unset fields are omitted, so that versions without an optional field can read the manifest.
    document = complete.model_dump_json(indent=2, exclude_none=True)
    (folder / MANIFEST_FILE).write_text(document + "\n", encoding="utf-8")
    return complete


def sha256(path: Path) -> str:
    """The SHA-256 digest of a file. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(folder: Path, *, weights: bool = True) -> ModelManifest:
    """Verify every file of a model folder against its manifest, which is returned. Raises `ManifestError`.

    Without `weights`, those that the folder lacks are not missed: a server elsewhere has them.
    """
    manifest = load_manifest(folder)
    refuse_pickles(folder)
    for name, recorded in manifest.files.items():
        if weights or not name.endswith(".safetensors") or (folder / name).exists():
            _check(folder / name, recorded)
    # Engines load every such file of the folder.
    for path in folder.rglob("*.safetensors"):
        if str(path.relative_to(folder)) not in manifest.files:
            raise UnsafeWeights(path, f"{MANIFEST_FILE} does not list these weights; remove them")
    _require_template(folder / MANIFEST_FILE, manifest)
    return manifest


def _require_template(path: Path, manifest: ModelManifest) -> None:
    digest, known = manifest.template_digest, template_names()
    if manifest.template not in known:
        raise TemplateDiffers(
            f"{path}: template: this version has no {manifest.template}, only {', '.join(known)}; serve the model with "
            "the version that it was trained with"
        )
    if digest is not None and load_template(manifest.template).digest != digest:
        raise TemplateDiffers(
            f"{path}: template_digest: the model was trained in another {manifest.template} than this version has; "
            "train it again, or serve it with the version that it was trained with"
        )


def refuse_pickles(folder: Path) -> None:
    """Raises `UnsafeWeights` for a folder with a file that can run code when it is loaded."""
    for path in folder.rglob("*"):
        if path.suffix.lower() in PICKLE_SUFFIXES:
            raise UnsafeWeights(path, "this format can run code when it is loaded; keep weights as safetensors")


def _check(path: Path, recorded: str) -> None:
    try:
        actual = sha256(path)
    except OSError as error:
        raise DigestMismatch(path, f"cannot be read ({error.strerror})") from error
    if actual != recorded:
        raise DigestMismatch(path, f"SHA-256 is {actual} instead of {recorded}")
