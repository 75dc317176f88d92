"""The block in which a model thinks, at the beginning of its text, however the text arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.serving.engine import Chunk
from alpha_umi.serving.thinking import without_thinking


async def chunks(pieces: Sequence[str]) -> AsyncIterator[Chunk]:
    for number, piece in enumerate(pieces, start=1):
        yield Chunk(piece, 5, number, finish_reason="stop" if number == len(pieces) else None)


async def read(pieces: Sequence[str], *, shown: bool = False) -> str:
    return "".join([chunk.text async for chunk in without_thinking(chunks(pieces), shown=shown)])


@pytest.mark.parametrize(
    ("text", "dropped", "shown"),
    [
        ("<think>Is it warm?</think>It is.", "It is.", "Is it warm?\nIt is."),
        ("\n<think>\nHm.\n</think>\n\nIt is.", "It is.", "Hm.\nIt is."),
        ("<think></think>It is.", "It is.", "It is."),
        ("<think>It is warm.</think>\n", "", "It is warm."),
        (
            "<think>Next: caller? No.</think>Next: conclusion.",
            "Next: conclusion.",
            "Next caller? No.\nNext: conclusion.",
        ),
        ("It is <think>warm</think>.", "It is <think>warm</think>.", "It is <think>warm</think>."),
        ("<thin", "<thin", "<thin"),
        (" ", " ", " "),
        ("", "", ""),
    ],
)
async def test_the_block_is_taken_from_the_beginning_wherever_the_text_is_split(
    text: str, dropped: str, shown: str
) -> None:
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            pieces = [text[:first], text[first:second], text[second:]]
            assert (await read(pieces)).strip() == dropped.strip(), pieces
            assert (await read(pieces, shown=True)).strip() == shown.strip(), pieces


async def test_a_block_that_does_not_end_is_unreadable() -> None:
    with pytest.raises(UnreadableOutput, match=r"still thinking .*ALPHA_UMI_ROLE_MAX_TOKENS") as caught:
        await read(["<thi", "nk>On and", " on"])
    assert caught.value.text == "<think>On and on"


async def test_every_chunk_is_counted() -> None:
    counted = [
        chunk.completion_tokens
        async for chunk in without_thinking(chunks(["<think>", "a", "</think>", "b"]), shown=False)
    ]
    assert counted == [1, 2, 3, 4]


async def test_the_generation_is_closed_with_its_reader() -> None:
    source = chunks(["a", "b", "c"])
    reader = without_thinking(source, shown=False)
    await anext(reader)
    await reader.aclose()
    assert [chunk async for chunk in source] == []
