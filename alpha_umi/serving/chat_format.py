"""How a model writes a chat: the texts that its chat template puts around the messages.

A chat template is a program (Jinja) that came with the weights. It runs when the model is loaded, and never for a
request: in a process of its own, with limits of time and memory, on conversations whose messages are marks. What stands
between the marks is the format. So no template can hang a service, and no text of a user or a tool reaches its code.

It has to put the same texts around all messages, as nearly every chat template does. One that has no place for a system
message, or not at the beginning, gets the system text in the first user message.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from alpha_umi.plain_text import beginning
from alpha_umi.roles.template import ChatPrompt
from alpha_umi.serving.manifest import ManifestError

CPU_S = 10
MEMORY_BYTES = 2 << 30
# The processor time bounds the template; this bounds a machine that hardly runs.
DEADLINE_S = 180
# What a template writes around six messages; every prompt has it.
MOST_CHARACTERS = 100_000

_MARKS = [f"m4rk{number}z" for number in range(6)]
_BEGINNING, _END = "<think>", "</think>"
_REMEDY = "name another instruct model, or let a server run this one (docs/engines.md)"

_Conversation = Sequence[tuple[str, str]]


class ChatTemplateUnusable(ManifestError):
    """The model has no chat template, or one that cannot write a conversation."""


class Piece(NamedTuple):
    """A part of a prompt's text. `is_markup`: it is the template's, so special tokens in it are special."""

    text: str
    is_markup: bool


@dataclass(frozen=True)
class ChatFormat:
    """The texts around the messages of a chat; `after_system` is None if the system text is in the first user message.

    `answer` begins the model's answer to the last message.
    """

    start: str
    after_system: str | None
    after_user: str
    after_assistant: str
    answer: str

    def pieces(self, prompt: ChatPrompt) -> Iterator[Piece]:
        """The text of a prompt whose messages are a system message, then user and assistant in turn."""
        answered = prompt.messages if prompt.begun is None else prompt.messages[:-1]
        system, first, *others = (message.content for message in answered)
        yield Piece(self.start, is_markup=True)
        if self.after_system is None:
            first = f"{system}\n\n{first}"
        else:
            yield Piece(system, is_markup=False)
            yield Piece(self.after_system, is_markup=True)
        yield Piece(first, is_markup=False)
        for number, content in enumerate(others):
            yield Piece(self.after_assistant if number % 2 else self.after_user, is_markup=True)
            yield Piece(content, is_markup=False)
        yield Piece(self.answer, is_markup=True)
        if prompt.begun is not None:
            yield Piece(prompt.begun, is_markup=False)


def read_chat_formats(folder: Path, tokenizer: Any) -> dict[bool, ChatFormat]:
    """The formats of the model in a folder: for an answer without thinking, and for one with it (if the model can).

    Takes a few seconds. Raises `ChatTemplateUnusable`.
    """
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:
        names = ", ".join(tokenizer.chat_template or ())
        none = "its tokenizer has no chat template, so it is no instruct model"
        reason = f"none of its chat templates ({names}) is named default" if names else none
        raise ChatTemplateUnusable(f"{folder}: {reason}; {_REMEDY}") from error
    written = _run({"template": template, "special_tokens": tokenizer.special_tokens_map, "cpu_s": CPU_S})
    if isinstance(written, str):
        raise ChatTemplateUnusable(f"{folder}: its chat template {written}; {_REMEDY}")
    return {thinking: ChatFormat(**fields) for thinking, fields in zip((False, True), written, strict=True)}


def _run(request: dict[str, Any]) -> list[dict[str, Any]] | str:
    """The fields of both formats, or why there are none."""
    command = [sys.executable, "-m", "alpha_umi.serving.chat_format"]
    try:
        ended = subprocess.run(  # noqa: S603 - the command is our own
            command, input=json.dumps(request), capture_output=True, text=True, timeout=DEADLINE_S
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {DEADLINE_S} s"
    last = ended.stderr.strip().rpartition("\n")[2]
    if ended.returncode < 0 or last.startswith("MemoryError"):
        return f"takes more than {CPU_S} s of processor time or {MEMORY_BYTES >> 20} MiB of memory; it may loop"
    if ended.returncode:
        return f"cannot be run: {beginning(last, 300)}"
    written: list[dict[str, Any]] | str = json.loads(ended.stdout)
    return written


def _main() -> None:
    """Read a request from standard input, and write the formats, or the reason against them, to standard output."""
    # Imported before the limits begin.
    import transformers.utils.chat_template_utils  # noqa: F401

    request = json.loads(sys.stdin.read())
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = math.ceil(used.ru_utime + used.ru_stime) + request["cpu_s"]
    for kind, limit in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, (limit, limit))
    try:
        written: Any = [asdict(each) for each in derive_formats(request["template"], request["special_tokens"])]
    except MemoryError:
        raise
    except Exception as error:  # of a foreign program
        written = f"cannot write a conversation: {beginning(str(error), 300) or type(error).__name__}"
    json.dump(written, sys.stdout)


def derive_formats(template: str, special_tokens: Mapping[str, str]) -> list[ChatFormat]:
    """The formats of a chat template, without thinking and with it. Runs the template here, without limits.

    Raises what the template raises, and `ValueError` if it does not put the same texts around all messages.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    def render(conversation: _Conversation, thinking: bool) -> str:
        texts, _ = render_jinja_template(
            conversations=[[{"role": role, "content": content} for role, content in conversation]],
            chat_template=template,
            add_generation_prompt=True,
            # Two names for the same in different families.
            enable_thinking=thinking,
            thinking=thinking,
            **special_tokens,
        )
        return str(texts[0])

    turns = [("user" if number % 2 else "assistant", mark) for number, mark in enumerate(_MARKS)][1:]
    try:
        return [_format(render, [("system", _MARKS[0]), *turns], thinking) for thinking in (False, True)]
    except MemoryError:
        raise
    except Exception:  # it refuses or misplaces a system message, in its own way
        return [_format(render, turns, thinking) for thinking in (False, True)]


def _format(render: Callable[[_Conversation, bool], str], conversation: _Conversation, thinking: bool) -> ChatFormat:
    """Raises `ValueError` for a template that does not put the same texts around all messages."""
    start, *others = _between(render(conversation, thinking), conversation)
    shorter = _between(render(conversation[:-4], thinking), conversation[:-4])
    after_system = others.pop(0) if conversation[0][0] == "system" else None
    after_user, after_assistant, *again, answer = others
    expected = [start, *([] if after_system is None else [after_system]), answer]
    if again != [after_user, after_assistant] or shorter != expected:
        raise ValueError("it does not put the same texts around all messages")
    return ChatFormat(start, after_system, after_user, after_assistant, _answer(answer, thinking))


def _between(text: str, conversation: _Conversation) -> list[str]:
    """The texts before, between and after the messages.

    Raises `ValueError` if a message is missing or in another place, or if the texts are very long.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it writes more than {MOST_CHARACTERS} characters around six messages")
    parts = []
    for role, mark in conversation:
        part, separator, text = text.partition(mark)
        parts.append(part)
        if not separator:
            raise ValueError(f"it leaves a message of the role {role} out")
    return [*parts, text]


def _answer(answer: str, thinking: bool) -> str:
    """Where the template itself begins to think, the model does so with thinking, and nobody without it."""
    beginning, opened, rest = answer.rpartition(_BEGINNING)
    if not opened or rest.strip():
        return answer
    return beginning if thinking else f"{answer.rstrip()}\n\n{_END}\n\n"


if __name__ == "__main__":
    _main()
