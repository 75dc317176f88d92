"""Logs: one JSON object a line (or text for people), with the trajectory and step that they belong to.

`bind` puts ids on every line of the current task. Values of fields that hold secrets are replaced. DEBUG is for this
project's own lines: libraries write headers, addresses and database rows there, and secrets are among them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any, Literal, cast

import structlog

LogFormat = Literal["json", "console"]

_OWN = ("alpha_umi", "orchestrator", "services")
# At INFO these write the address of each request, and addresses may hold a key.
_ADDRESS_WRITERS = ("httpx", "httpcore")

_SECRET_FIELDS = frozenset({"authorization", "api_key", "api_keys", "token", "role_token", "password", "cookie"})


def configure_logs(*, service: str, form: LogFormat = "json", level: str = "INFO") -> None:
    """Send structlog's and the standard library's records to standard error in one form."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.processors.format_exc_info],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.INFO, logging.getLevelName(level)))
    for name in _OWN:
        logging.getLogger(name).setLevel(level)
    for name in _ADDRESS_WRITERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger. Events are short names, everything else goes into fields."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))


def bind(**ids: object) -> AbstractContextManager[None]:
    """Put ids (trajectory, step, request) on every line logged inside the `with` block."""
    return structlog.contextvars.bound_contextvars(**ids)


def _redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if name.lower() in _SECRET_FIELDS:
            event[name] = "[redacted]"
    return event
