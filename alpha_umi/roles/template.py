"""Load a prompt template and fill it.

A template is part of a trained model's interface, so it is a file with a name, a version and a digest
(`templates/*.toml`); one function loads it for training, serving and evaluation alike. Templates of the kind chat
(`templates/chat/*.toml`, filled in by `chat`) have no model that was trained on them.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Literal

from alpha_umi.roles.turns import Role, Tool, Turn, TurnRole, tool_document

# The label of the planner's newest turn in the caller's and the summarizer's history: `assistant` as in the published
# training data (default), `planner` as in the published inference script. Its older turns are `assistant` in both, and
# the planner itself always sees `assistant`.
PlannerLabel = Literal["assistant", "planner"]

_LABELS: Mapping[TurnRole, str] = {"planner": "assistant"}
_PLACEHOLDER = re.compile(r"\{(doc|history|tool_names|thought)\}")
_FOLDER = resources.files("alpha_umi.roles") / "templates"
_CHAT_FOLDER = _FOLDER / "chat"


class UnknownTemplate(ValueError):
    """No template of that name ships with the library."""


@dataclass(frozen=True)
class Template:
    """A prompt template: the text for each role, and the text that ends a turn."""

    name: str
    version: int
    end_of_turn: str
    prompts: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of everything that a model learns from the template, in hexadecimal."""
        content = json.dumps([self.end_of_turn, dict(sorted(self.prompts.items()))], ensure_ascii=True)
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class ChatTemplate:
    """The wording of requests to a model that was trained for no role: system texts, and each role's task."""

    name: str
    version: int
    texts: Mapping[str, str]


AnyTemplate = Template | ChatTemplate


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt.

    `markers` are the offsets (in characters) at which the template itself wrote its end-of-turn text. The same
    text anywhere else came from a user or a tool and must not become a special token.
    """

    text: str
    markers: tuple[int, ...]
    end_of_turn: str


@dataclass(frozen=True)
class Message:
    """A message of a chat. `content` may hold text of users and tools: nothing in it becomes a special token."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class ChatPrompt:
    """A prompt as messages, for the model's own chat template or for a chat server.

    The model answers the last one, or goes on with it if it is the assistant's.

    `thinking`: the model may think before its answer, if it is one that can.
    """

    messages: tuple[Message, ...]
    thinking: bool = False

    @property
    def text(self) -> str:
        """The messages as plain text, the same for every model: for digests, reports and scripted engines."""
        text = "".join(f"{message.role}: {message.content}\n" for message in self.messages)
        return text if self.begun is None else text[:-1]

    @property
    def begun(self) -> str | None:
        """The text that the model goes on with; None if it answers a message."""
        return self.messages[-1].content if self.messages[-1].role == "assistant" else None


AnyPrompt = Prompt | ChatPrompt


def template_names() -> list[str]:
    """Names of the templates that models are trained on."""
    return _names(_FOLDER)


def chat_template_names() -> list[str]:
    """Names of the templates of the kind chat."""
    return _names(_CHAT_FOLDER)


@cache
def load_template(name: str) -> Template:
    """Load a template that models are trained on. Raises `UnknownTemplate`, which lists the known names."""
    data = _read(_FOLDER, name)
    prompts = load_template(data["extends"]).prompts if "extends" in data else data["prompts"]
    return Template(data["name"], data["version"], data["end_of_turn"], prompts)


def load_any_template(name: str) -> AnyTemplate:
    """Load a template of either kind. Raises `UnknownTemplate`, which lists the known names."""
    if name in template_names():
        return load_template(name)
    data = _read(_CHAT_FOLDER, name, also=template_names())
    return ChatTemplate(data.pop("name"), data.pop("version"), data)


def _names(folder: Traversable) -> list[str]:
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _read(folder: Traversable, name: str, *, also: Sequence[str] = ()) -> dict[str, Any]:
    known = _names(folder)
    if name not in known:
        raise UnknownTemplate(f"no template {name!r}; known: {', '.join((*also, *known))}")
    return tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))


def render(
    role: Role,
    template: Template,
    *,
    history: Sequence[Turn],
    tools: Sequence[Tool] = (),
    planner_label: PlannerLabel = "assistant",
) -> Prompt:
    """Fill the template of one role.

    The caller's history ends with the rationale, which its prompt has a second time. The history follows the published
    preprocessing: every turn except an observation has an end-of-turn marker.
    """
    writer = _Writer(template.end_of_turn)
    label: PlannerLabel = planner_label if role in ("caller", "summarizer") else "assistant"
    position = 0
    text = template.prompts[role]
    for match in _PLACEHOLDER.finditer(text):
        writer.write(text[position : match.start()])
        position = match.end()
        match match.group(1):
            case "doc":
                writer.write(tool_document(tools))
            case "history":
                _write_history(writer, visible_history(role, history), label)
            case "tool_names":
                writer.write(", ".join(tool.prompt_name for tool in tools))
            case _:
                writer.write(history[-1].content if history else "")
    writer.write(text[position:])
    return writer.prompt()


def visible_history(role: Role, history: Sequence[Turn]) -> Sequence[Turn]:
    """The turns of a history as a role's prompt shows them."""
    if role == "backbone":
        return backbone_history(history)
    if role == "summarizer":
        # The published preprocessing marks a missing answer as "none" and shows it to the planner and the caller only.
        return [turn for turn in history if turn != Turn("conclusion", "none")]
    return history


def backbone_history(history: Sequence[Turn]) -> list[Turn]:
    """The turns of the single-model backbone: rationale and call (or answer) are one turn."""
    merged: list[Turn] = []
    for turn in history:
        if turn.role == "planner":
            merged.append(Turn("planner", _backbone_rationale(turn.content)))
        elif turn.role == "caller" and merged and merged[-1].role == "planner":
            merged[-1] = Turn("planner", f"{merged[-1].content}\n{turn.content}")
        elif turn.role == "conclusion" and merged and merged[-1].role == "planner":
            merged[-1] = Turn("planner", f"{merged[-1].content}\nconclusion: {turn.content}")
        elif turn.role in ("user", "observation"):
            merged.append(turn)
    return merged


def _backbone_rationale(text: str) -> str:
    if "Next: give up." in text:
        return text.replace("Next: give up.", "").strip() + "\nconclusion: give up."
    return text.replace("Next: caller.", "").replace("Next: conclusion.", "").strip()


def _write_history(writer: _Writer, history: Sequence[Turn], newest_label: PlannerLabel) -> None:
    newest = max((place for place, turn in enumerate(history) if turn.role == "planner"), default=None)
    for place, turn in enumerate(history):
        label = newest_label if place == newest else _LABELS.get(turn.role, turn.role)
        writer.write(f"{label}: {turn.content}")
        if turn.role != "observation":
            writer.end_turn()


class _Writer:
    """Joins text and records the offsets of its own end-of-turn markers."""

    def __init__(self, end_of_turn: str) -> None:
        self._end_of_turn = end_of_turn
        self._parts: list[str] = []
        self._length = 0
        self._markers: list[int] = []

    def write(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def end_turn(self) -> None:
        self._markers.append(self._length)
        self.write(self._end_of_turn)

    def prompt(self) -> Prompt:
        return Prompt("".join(self._parts), tuple(self._markers), self._end_of_turn)
