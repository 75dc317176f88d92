"""Every log line is one JSON object: no value from users, models or tools can forge another."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi import telemetry
from alpha_umi.telemetry.fields import MAX_CHARACTERS, MAX_ITEMS, MAX_TRACEBACK

HOSTILE = 'x\n{"event": "forged"}\r\x1b[2J\x1b]0;title\x07\u202e\u2028\u2066\x00\ud800'
texts = st.one_of(st.text(st.characters(codec=None)), st.just(HOSTILE), st.text().map(lambda text: text * 2_000))
numbers = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.binary())
values = st.recursive(
    st.one_of(texts, numbers),
    lambda inner: st.one_of(
        st.lists(inner), st.sets(texts), st.tuples(inner), st.dictionaries(st.one_of(texts, st.integers()), inner)
    ),
    max_leaves=20,
)
OWN_NAMES = ("event", "self", "exc_info", "stack_info", "stacklevel", "positional_args")
fields = st.dictionaries(st.text(min_size=1).filter(lambda name: name not in OWN_NAMES), values, max_size=5)


class Lines:
    """The logged lines."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    def take(self) -> list[dict[str, Any]]:
        """Every line since the last time. An error if one is not a JSON object by the letter of the standard."""
        written = self._stream.getvalue()
        self._stream.seek(0)
        self._stream.truncate()
        return [json.loads(line, parse_constant=_refuse) for line in written.splitlines()]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Standard error, with logs configured for it."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    for hook in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, hook, getattr(sys, hook))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    handlers = logging.getLogger().handlers
    yield written
    logging.captureWarnings(False)
    logging.getLogger().handlers = handlers
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    telemetry.configure_logs(service="test")
    return Lines(stream)


def test_any_fields_make_one_line() -> None:
    """One configuration for all examples, because creating it is slow."""
    written = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", written)
        telemetry.configure_logs(service="test")
        lines = Lines(written)
        log = telemetry.logger("alpha_umi.test")

        @given(texts, fields, texts)
        def one_line(event: str, named: dict[str, Any], trajectory_id: str) -> None:
            with telemetry.bind(trajectory_id=trajectory_id):
                log.warning(event, **named)
            (line,) = lines.take()
            assert {"timestamp", "level", "event"} <= line.keys()
            assert all(len(value) < MAX_CHARACTERS + 100 for value in line.values() if isinstance(value, str))

        @given(texts, texts)
        def one_line_of_a_library(message: str, argument: str) -> None:
            logging.getLogger("library").warning("%s" + message.replace("%", "%%"), argument)
            (line,) = lines.take()
            assert (line["level"], line["logger"], line["service"]) == ("warning", "library", "test")

        @given(texts)
        def one_line_of_an_exception(text: str) -> None:
            try:
                raise RuntimeError(text)
            except RuntimeError as error:
                log.error("it.failed", exc_info=error)
            (line,) = lines.take()
            assert "RuntimeError" in line["exception"] or len(line["exception"]) > MAX_TRACEBACK

        one_line()
        one_line_of_a_library()
        one_line_of_an_exception()
    logging.captureWarnings(False)
    logging.getLogger().handlers.clear()
    structlog.reset_defaults()


def test_a_line_names_what_it_belongs_to_and_begins_with_it(lines: Lines) -> None:
    with telemetry.bind(trajectory_id="traj_1", step=2, request_id="r"):
        telemetry.logger("alpha_umi.test").info("tool.called", ms=3)
    (line,) = lines.take()
    assert list(line)[:4] == ["timestamp", "level", "service", "event"]
    assert (line["trajectory_id"], line["step"], line["request_id"], line["ms"]) == ("traj_1", 2, "r", 3)


def test_sizes_are_bounded(lines: Lines) -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    telemetry.logger("alpha_umi.test").info(
        "big", text="a" * 10**6, many=list(range(10**5)), deep=deep, **{f"f{number}": 1 for number in range(100)}
    )
    (line,) = lines.take()
    assert line["text"].endswith(f"[{10**6 - MAX_CHARACTERS} characters left out]")
    assert len(line["many"]) == MAX_ITEMS
    assert len(line) == MAX_ITEMS


def test_the_end_of_a_traceback_is_logged(lines: Lines) -> None:
    try:
        raise RuntimeError("a" * 10**5 + "the end")
    except RuntimeError as error:
        telemetry.logger("alpha_umi.test").error("it.failed", exc_info=error)
    (line,) = lines.take()
    assert line["exception"].endswith("the end")
    assert len(line["exception"]) < MAX_TRACEBACK + 100


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def without_pytest() -> None:
    """Remove pytest's capturing handler, which cannot format these records."""
    logging.getLogger().handlers = logging.getLogger().handlers[:1]


def test_what_has_no_text_is_named_by_its_type(lines: Lines) -> None:
    without_pytest()
    telemetry.logger("alpha_umi.test").info("odd", thing=Unprintable(), number=10**6_000)
    (line,) = lines.take()
    assert line["number"].startswith("0x")
    assert line["thing"] == "<Unprintable without a text>"


def test_a_record_that_cannot_be_made_is_one_line(lines: Lines) -> None:
    without_pytest()
    logging.getLogger("library").warning("%d", "not a number")
    (line,) = lines.take()
    assert (line["event"], line["logger"], line["reason"]) == ("log.unwritable", "library", "TypeError")


def test_warnings_and_uncaught_exceptions_are_lines(lines: Lines) -> None:
    telemetry.log_uncaught()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    failing = threading.Thread(target=lambda: 1 // 0, name="worker")
    failing.start()
    failing.join()
    try:
        raise RuntimeError("at the top")
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    warned, thread, process = lines.take()
    assert "DeprecationWarning: old" in warned["event"]
    assert (thread["event"], thread["thread"]) == ("thread.failed", "worker")
    assert "ZeroDivisionError" in thread["exception"]
    assert (process["event"], "at the top" in process["exception"]) == ("process.failed", True)


def test_children_write_the_same_lines(lines: Lines, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    configuration = telemetry.child_logging_config()
    assert configuration is not None
    logging.config.dictConfig(json.loads(json.dumps(configuration)))
    logging.getLogger("some.library").info("loaded")
    (line,) = lines.take()
    assert (line["service"], line["logger"], line["event"]) == ("test", "some.library", "loaded")


def test_without_a_service_children_are_left_alone(stream: io.StringIO) -> None:
    logging.getLogger().handlers = []
    assert telemetry.child_logging_config() is None


def test_text_for_people_obeys_no_control_characters(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    telemetry.configure_logs(service="test", form="console")
    with telemetry.bind(trajectory_id=HOSTILE):
        telemetry.logger("alpha_umi.test").info(HOSTILE, output=HOSTILE)
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert not [character for character in written.strip("\n") if not character.isprintable()]
