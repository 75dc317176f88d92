"""Role models: a LoRA adapter of a tiny random Llama is merged once; models that do not fit are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from support.model_hub import ModelHub, files_of
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alpha_umi.serving.manifest import (
    CanaryText,
    DigestMismatch,
    ManifestError,
    ModelManifest,
    load_manifest,
    sha256,
    verify,
    write_manifest,
)
from alpha_umi.serving.weights import adapters, ensure_named_model, ensure_role_model
from alpha_umi.serving.weights.canary import PROMPT, write_canary
from alpha_umi.serving.weights.errors import AdapterUnusable, CanaryUnsure
from alpha_umi.serving.weights.hub import locate

BACKBONE = ModelManifest(
    name="tiny",
    role="backbone",
    template="toolbench-im-end",
    context=128,
    base="tiny",
    canary=CanaryText(prompt=PROMPT, expected="?"),
    source="random numbers of a test",
)
PLANNER = BACKBONE.model_copy(update={"name": "tiny-planner", "role": "planner"})
QUERY = "model.layers.1.self_attn.q_proj.weight"


def write_tokenizer(folder: Path) -> None:
    """One token per byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: number for number, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    template = "{{ messages[0]['content'] }}"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template).save_pretrained(
        folder, save_jinja_files=False
    )


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=None,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    write_tokenizer(folder)
    write_manifest(folder, BACKBONE)
    return folder


@pytest.fixture(scope="module")
def trained(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a planner's adapter, far from zero."""
    folder = tmp_path_factory.mktemp("models")
    base = LlamaForCausalLM.from_pretrained(backbone, dtype=torch.float32)
    lora = LoraConfig(r=2, lora_alpha=16, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapter = folder / "smollm2-135m" / "planner"
    get_peft_model(base, lora).save_pretrained(adapter)
    write_manifest(adapter, PLANNER)
    return folder


@pytest.fixture
def own(trained: Path, tmp_path: Path) -> Path:
    """A copy of the models folder, to be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "models"))


def test_without_a_trained_model_the_backbone_serves_the_role(backbone: Path, trained: Path, tmp_path: Path) -> None:
    assert ensure_role_model("caller", tmp_path, trained, backbone) == backbone
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_is_merged_once(backbone: Path, trained: Path, tmp_path: Path) -> None:
    steps: list[float] = []
    folder = ensure_role_model("planner", tmp_path, trained, backbone, lambda step, done: steps.append(done))
    assert folder.parent == tmp_path / "models"
    assert folder.name.startswith("planner-")
    assert steps == sorted(steps)
    assert steps[-1] == 1.0
    steps.clear()
    assert ensure_role_model("planner", tmp_path, trained, backbone, lambda step, done: steps.append(done)) == folder
    assert steps == []


def test_the_merged_weights_are_base_plus_adapter(backbone: Path, trained: Path, tmp_path: Path) -> None:
    folder = ensure_role_model("planner", tmp_path, trained, backbone)
    base, merged = (load_file(path / "model.safetensors") for path in (backbone, folder))
    adapter = load_file(trained / "smollm2-135m" / "planner" / "adapter_model.safetensors")
    name = f"base_model.model.{QUERY.removesuffix('.weight')}"
    delta = 16 / 2 * adapter[f"{name}.lora_B.weight"] @ adapter[f"{name}.lora_A.weight"]
    assert delta.abs().max() > 0.1
    expected = (base[QUERY].float() + delta).to(torch.bfloat16)
    torch.testing.assert_close(merged[QUERY], expected)
    assert base.keys() == merged.keys()
    untouched = "model.layers.1.self_attn.k_proj.weight"
    assert torch.equal(merged[untouched], base[untouched])


def test_the_merged_manifest_is_the_adapters_with_a_canary_of_its_own(
    backbone: Path, trained: Path, tmp_path: Path
) -> None:
    folder = ensure_role_model("planner", tmp_path, trained, backbone)
    manifest = verify(folder)
    canary = write_canary(folder)
    assert manifest.model_copy(update={"files": {}}) == PLANNER.model_copy(update={"canary": canary})
    assert canary.prompt == PROMPT
    assert AutoTokenizer.from_pretrained(folder)("Paris")["input_ids"] == list(
        AutoTokenizer.from_pretrained(backbone)("Paris")["input_ids"]
    )


def test_a_model_that_writes_nothing_has_no_canary(backbone: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(backbone, tmp_path / "mute"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"eos_token": "!"})  # token 0, which is written where all are equally likely
    tokenizer.save_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder)
    model.lm_head.weight.data.zero_()
    model.save_pretrained(folder)
    with pytest.raises(CanaryUnsure, match="mute writes nothing after"):
        write_canary(folder)


def test_a_complete_model_is_served_unchanged(backbone: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(backbone, tmp_path / "models" / "smollm2-135m" / "planner"))
    write_manifest(folder, PLANNER)
    assert ensure_role_model("planner", tmp_path / "cache", tmp_path / "models", backbone) == folder


def test_a_merged_model_names_the_commit_of_its_adapter(
    backbone: Path, trained: Path, tmp_path: Path, model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "ensure_backbone", lambda cache, progress: backbone)
    repository = model_hub.add("org/adapters")
    for branch in ("v1", "v2"):
        commit = repository.commit(files_of(trained / "smollm2-135m"), branch)
        adapter = locate(f"org/adapters@{branch}", roles=("planner",)) / "planner"
        assert load_manifest(ensure_named_model("planner", adapter, tmp_path)).hub == (f"org/adapters@{commit}",)


def test_a_named_model_is_merged_only_if_it_is_an_adapter(
    backbone: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "ensure_backbone", lambda cache, progress: backbone)
    adapter = own / "smollm2-135m" / "planner"
    merged = ensure_named_model("planner", adapter, tmp_path)
    assert merged == ensure_role_model("planner", tmp_path, own, backbone)
    # It serves the role that its folder is named for.
    assert ensure_named_model("caller", merged, tmp_path) == merged
    with pytest.raises(AdapterUnusable, match="role is 'planner', but the folder is for 'caller'"):
        ensure_named_model("caller", adapter, tmp_path)
    (adapter / "alpha_umi.json").unlink()
    with pytest.raises(ManifestError, match=r"alpha_umi\.json"):
        ensure_named_model("planner", adapter, tmp_path)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"role": "caller"}, "role is 'caller'"),
        ({"base": "another"}, "base is 'another', but the backbone is 'tiny'"),
        ({"base_weights": {"model.safetensors": "0" * 64}}, "other weights than those in .*, which are called tiny as"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    backbone: Path, own: Path, tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    write_manifest(own / "smollm2-135m" / "planner", PLANNER.model_copy(update=changes))
    with pytest.raises(AdapterUnusable, match=fault):
        ensure_role_model("planner", tmp_path / "cache", own, backbone)


def test_an_adapter_of_these_very_weights_is_merged(backbone: Path, own: Path, tmp_path: Path) -> None:
    known = PLANNER.model_copy(update={"base_weights": {"model.safetensors": sha256(backbone / "model.safetensors")}})
    write_manifest(own / "smollm2-135m" / "planner", known)
    merged = ensure_role_model("planner", tmp_path / "cache", own, backbone)
    assert verify(merged).base_weights == known.base_weights


def test_a_folder_without_weights_is_refused(backbone: Path, own: Path, tmp_path: Path) -> None:
    adapter = own / "smollm2-135m" / "planner"
    (adapter / "adapter_model.safetensors").unlink()
    write_manifest(adapter, PLANNER)
    with pytest.raises(AdapterUnusable, match="files has neither"):
        ensure_role_model("planner", tmp_path / "cache", own, backbone)


def test_a_damaged_adapter_is_refused(backbone: Path, own: Path, tmp_path: Path) -> None:
    (own / "smollm2-135m" / "planner" / "adapter_config.json").write_bytes(b"{}")
    with pytest.raises(DigestMismatch, match=r"adapter_config\.json"):
        ensure_role_model("planner", tmp_path / "cache", own, backbone)


def _without_a_module(settings: dict[str, Any]) -> None:
    settings["target_modules"].remove("down_proj")


def _with_another_module(settings: dict[str, Any]) -> None:
    settings["target_modules"].append("o_proj")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_without_a_module, "by its adapter_config.json 4 tensors are adapted, and adapter_model.safetensors has 8"),
        (_with_another_module, "cannot be loaded together: Found missing adapter keys"),
        (lambda settings: settings.update(r=3), "cannot be loaded together: .*size mismatch"),
        (lambda settings: settings.update(peft_type="NONE"), "cannot be loaded together"),
    ],
)
def test_settings_of_another_adapter_are_refused(
    backbone: Path, own: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], fault: str
) -> None:
    adapter = own / "smollm2-135m" / "planner"
    settings = json.loads((adapter / "adapter_config.json").read_bytes())
    change(settings)
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    write_manifest(adapter, PLANNER)
    with pytest.raises(AdapterUnusable, match=f"(?s)planner: .*{fault}"):
        ensure_role_model("planner", tmp_path / "cache", own, backbone)
    assert [path.name for path in (tmp_path / "cache" / "models").iterdir()] == [".planner.lock"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "files has no adapter_config.json"), ('{"r":', "cannot be loaded together: Expecting")],
)
def test_an_adapter_without_settings_is_refused(
    backbone: Path, own: Path, tmp_path: Path, content: str | None, fault: str
) -> None:
    adapter = own / "smollm2-135m" / "planner"
    (adapter / "adapter_config.json").unlink()
    if content is not None:
        (adapter / "adapter_config.json").write_text(content)
    write_manifest(adapter, PLANNER)
    with pytest.raises(AdapterUnusable, match=fault):
        ensure_role_model("planner", tmp_path / "cache", own, backbone)


def test_another_adapter_gets_another_folder(backbone: Path, own: Path, trained: Path, tmp_path: Path) -> None:
    first = ensure_role_model("planner", tmp_path, trained, backbone)
    adapter = own / "smollm2-135m" / "planner"
    (adapter / "README.md").write_text("trained again")
    write_manifest(adapter, load_manifest(adapter))
    assert ensure_role_model("planner", tmp_path, own, backbone) != first
