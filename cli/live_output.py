"""A trajectory on the terminal, as it happens. What models and tools wrote is shown as text and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from cli.client import StreamEvent

Json = dict[str, Any]

_MAX_LINES = 12
_MAX_CHARACTERS = 1_200
# Control characters could move the cursor, colour the screen or forge lines.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_STYLES = {
    "completed": "green",
    "exhausted": "yellow",
    "gave_up": "yellow",
    "running": "cyan",
    "cancelled": "red",
    "failed": "red",
}


def plain(text: str) -> str:
    """Text without control characters, except line ends and tabs."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def shortened(text: str) -> str:
    """At most a dozen lines of it."""
    kept = "\n".join(plain(text)[:_MAX_CHARACTERS].splitlines()[:_MAX_LINES])
    return kept if len(kept) >= len(text.strip()) else f"{kept} ..."


class LiveOutput:
    """Prints events one by one; remembers the finished trajectory."""

    def __init__(self, console: Console) -> None:
        self.finished: Json | None = None
        self.trajectory_id: str | None = None
        self._console = console
        self._streaming: str | None = None

    def show_all(self, events: Iterable[StreamEvent]) -> Json | None:
        """Print until the end; the finished trajectory, if it came."""
        for event in events:
            self.show(event)
        return self.finished

    def show(self, event: StreamEvent) -> None:
        """Print one event."""
        data = event.data
        match event.name:
            case "trajectory.created":
                self.trajectory_id = data.get("id") or data.get("trajectory_id")
                self._line("question", "bold", str(data.get("instruction", "")))
            case "planner.delta" | "summarizer.delta":
                self._stream(event.name.partition(".")[0], str(data.get("text", "")))
            case "planner.decided":
                self._decided(data)
            case "caller.called":
                self._called(data)
            case "tool.observed":
                self._observed(data)
            case "summarizer.answered":
                if not self._end_stream():
                    self._line("answer", "bold green", str(data.get("answer", "")))
            case "trajectory.finished":
                self._end_stream()
                self.finished = data
                self._console.print(summary(data))

    def _decided(self, data: Json) -> None:
        if not self._end_stream():
            self._line("thought", "blue", str(data.get("thought", "")))
        note = "  (the planner's text was unreadable; this is the policy)" if data.get("unreadable") else ""
        self._line("next", "magenta", f"{data.get('next', '')}{note}")

    def _called(self, data: Json) -> None:
        arguments = json.dumps(data.get("arguments", {}), ensure_ascii=False)
        self._line("call", "cyan", f"{data.get('name', '')} {arguments}")

    def _observed(self, data: Json) -> None:
        style = "red" if data.get("is_error") else "white"
        self._line("observation", style, shortened(str(data.get("content", ""))))

    def _line(self, label: str, style: str, text: str) -> None:
        self._console.print(_labelled(label, style, plain(text)))

    def _stream(self, role: str, text: str) -> None:
        if self._streaming != role:
            self._end_stream()
            self._streaming = role
            label, style = ("thought", "blue") if role == "planner" else ("answer", "bold green")
            self._console.print(_labelled(label, style, ""), end="")
        self._console.print(Text(plain(text)), end="", soft_wrap=True)

    def _end_stream(self) -> bool:
        """Close a line of live text; whether there was one."""
        streaming, self._streaming = self._streaming is not None, None
        if streaming:
            self._console.print()
        return streaming


def _labelled(label: str, style: str, text: str) -> Text:
    return Text.assemble((f"{label:>12}  ", style), text)


def summary(trajectory: Json) -> Text:
    """Status, steps, tokens and seconds in one line."""
    status = str(trajectory["status"])
    usage = trajectory["usage"]
    parts = [
        f"{len(trajectory['steps'])} steps",
        f"{usage['prompt_tokens']} + {usage['completion_tokens']} tokens",
        str(trajectory["id"]),
    ]
    error = trajectory.get("error")
    if error:
        parts.insert(0, plain(f"{error['code']}: {error['detail']}"))
    return Text.assemble((f"{'status':>12}  ", "dim"), (status, _STYLES.get(status, "white")), "  ", "; ".join(parts))


def show_trajectory(console: Console, trajectory: Json) -> None:
    """Print a trajectory that is known whole."""
    output = LiveOutput(console)
    output.show(StreamEvent("", "trajectory.created", trajectory))
    for step in trajectory["steps"]:
        output.show(StreamEvent("", "planner.decided", step))
        if step["action"]:
            output.show(StreamEvent("", "caller.called", step["action"]))
        if step["observation"]:
            output.show(StreamEvent("", "tool.observed", step["observation"]))
    if trajectory["answer"] is not None:
        output.show(StreamEvent("", "summarizer.answered", trajectory))
    console.print(summary(trajectory))
