"""Each distinct prefix is computed once, with the losses and gradients of single examples."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from training.examples import IGNORED, Tokenized
from training.loop import attention
from training.loop.attention import BLOCKS, FLEX
from training.loop.objective import TargetLoss, collate, targets
from training.loop.trees import build_tree, divide

EXAMPLES = st.lists(
    st.tuples(st.lists(st.integers(1, 3), min_size=2, max_size=12), st.integers(1, 11)), min_size=1, max_size=12
)


def example(ids: list[int], prompt: int) -> Tokenized:
    return Tokenized(tuple(ids), (IGNORED,) * prompt + tuple(ids[prompt:]))


def conversations(seed: int = 0) -> list[Tokenized]:
    """Steps of trajectories over two tool sets: the target of a step is history of the next; one step comes twice."""
    rng = random.Random(seed)

    def draw(count: int) -> list[int]:
        return [rng.randrange(5, 90) for _ in range(count)]

    made = []
    for tools in (draw(40), draw(25)):
        for _ in range(3):
            history = tools + draw(6)
            for _ in range(3):
                target = draw(rng.randrange(3, 9))
                made.append(example(history + target, len(history)))
                history = history + target + draw(5)
    return [*made, made[0]]


def llama(**changed: Any) -> Any:
    torch.manual_seed(0)
    shape = {
        "vocab_size": 96, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.2,
    }  # fmt: skip
    attention.register()
    return LlamaForCausalLM._from_config(LlamaConfig(**shape), **changed)


@given(EXAMPLES)
def test_a_token_sees_its_own_example_and_no_other(drawn: list[tuple[list[int], int]]) -> None:
    examples = [example(ids, min(prompt, len(ids) - 1)) for ids, prompt in drawn]
    tree = build_tree(examples)
    paths = set()
    for query, end in enumerate(tree.ends):
        seen = [key for key in range(query + 1) if tree.ends[key] > query]
        assert [tree.positions[key] for key in seen] == list(range(tree.positions[query] + 1))
        assert end > query
        paths.add(tuple(tree.ids[key] for key in seen))
    assert paths == {each.input_ids[:size] for each in examples for size in range(1, len(each.input_ids) + 1)}
    assert len(tree.ids) == len(paths)
    assert sum(count for *_, count in tree.targets) == sum(map(targets, examples))


@given(EXAMPLES, st.integers(2, 40), st.integers(1, 3))
def test_a_tree_over_the_bound_is_divided_and_nothing_is_dropped(
    drawn: list[tuple[list[int], int]], limit: int, parts: int
) -> None:
    examples = [example(ids, min(prompt, len(ids) - 1)) for ids, prompt in drawn]
    shares = divide(range(len(examples)), examples, limit=limit, parts=parts)
    assert sorted(number for share in shares for number in share.examples) == list(range(len(examples)))
    for share in shares:
        assert (
            share.tokens <= limit
            or len(share.examples) == 1
            or share.tokens == max(len(examples[number].input_ids) for number in share.examples)
        )
        assert share.tokens == len(build_tree([examples[number] for number in share.examples]).ids)


def adapted(model: Any) -> Any:
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    return get_peft_model(model, lora)


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("rows", [1, 32, 256])
def test_losses_and_gradients_are_those_of_single_examples(
    lora: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "ROWS", rows)
    examples = conversations()
    outcomes = []
    for attended, batches in (
        ("sdpa", [[build_tree([each])] for each in examples]),
        (BLOCKS, [[build_tree(examples[:9]), build_tree(examples[9:])]]),
    ):
        model = llama(attn_implementation=attended)
        loss = TargetLoss(adapted(model) if lora else model)
        sums = []
        for batch in batches:
            value = loss(*collate(batch)) / 100
            value.backward()
            sums.append(value.item())
        gradients = {name: value.grad for name, value in loss.named_parameters() if value.requires_grad}
        outcomes.append((sum(sums), gradients))
    (single, one_by_one), (shared, together) = outcomes
    assert shared == pytest.approx(single, rel=1e-5)
    for name, gradient in one_by_one.items():
        assert gradient.abs().max() > 0
        assert torch.allclose(together[name], gradient, rtol=1e-5, atol=1e-5 * gradient.abs().max()), name


@pytest.mark.filterwarnings("ignore")  # torch warns of eager FlexAttention, and of its own deprecated parts
def test_flex_attention_has_the_same_losses() -> None:
    """Without gradients: torch has no backward pass of FlexAttention for CPUs."""
    examples = conversations()
    batch = collate([build_tree(examples)])
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        flex, blocks = (TargetLoss(llama(attn_implementation=each))(*batch).item() for each in (FLEX, BLOCKS))
    assert flex == pytest.approx(blocks, rel=1e-5)


def test_other_attention_is_refused() -> None:
    """It would see tokens of other examples."""
    with pytest.raises(ValueError, match="the attention sdpa cannot compute trees"):
        TargetLoss(llama(attn_implementation="sdpa"))(*collate([build_tree(conversations())]))
