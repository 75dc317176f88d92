"""Log configuration: one handler for the standard library's loggers and structlog's, in JSON or console form."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Literal, cast

import structlog

from alpha_umi.telemetry.fields import Event, bounded, printable, without_secrets

LogFormat = Literal["json", "console"]

_OWN = ("alpha_umi", "orchestrator", "services")
# At INFO these log the address of each request, which can contain a key, or the ids of sessions.
_ADDRESS_WRITERS = ("httpx", "httpcore", "mcp")


def configure_logs(*, service: str, form: LogFormat = "json", level: str = "INFO") -> None:
    """Send structlog's and the standard library's records, and warnings, to standard error in one form."""
    structlog.configure(
        processors=[
            *_common(service),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [line_handler(service=service, form=form)]
    root.setLevel(max(logging.INFO, logging.getLevelName(level)))
    for name in _OWN:
        logging.getLogger(name).setLevel(level)
    for name in _ADDRESS_WRITERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.clear_contextvars()


def child_logging_config() -> dict[str, Any] | None:
    """The `logging.config` dictionary for child processes of this service; None if logs are not configured."""
    own = [handler for handler in logging.getLogger().handlers if isinstance(handler, _LineHandler)]
    if not own:
        return None
    lines = {"()": f"{__name__}.line_handler", "service": own[0].service, "form": own[0].form}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"lines": lines},
        "root": {"handlers": ["lines"], "level": logging.getLogger().level},
    }


def line_handler(*, service: str, form: LogFormat = "json") -> logging.Handler:
    """A handler that writes lines to standard error. The configuration of child processes names it."""
    renderer: list[structlog.types.Processor] = (
        [structlog.processors.JSONRenderer()]
        if form == "json"
        else [printable, structlog.dev.ConsoleRenderer(colors=False)]
    )
    handler = _LineHandler(service, form)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_origin, *_common(service), structlog.processors.format_exc_info],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, bounded, *renderer],
        )
    )
    logging.captureWarnings(True)
    return handler


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger. Events are short names, everything else goes into fields."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))


def bind(**ids: object) -> AbstractContextManager[None]:
    """Add ids (trajectory, step, request) to every line logged in the `with` block."""
    return structlog.contextvars.bound_contextvars(**ids)


def log_uncaught() -> None:
    """Log uncaught exceptions of all threads instead of printing their tracebacks."""
    log = logger(__name__)

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.error("process.failed", exc_info=(kind, error, trace))

    def of_thread(failed: threading.ExceptHookArgs) -> None:
        name = None if failed.thread is None else failed.thread.name
        log.error("thread.failed", thread=name, exc_info=failed.exc_value)

    def ignored(failed: sys.UnraisableHookArgs) -> None:
        log.error("exception.ignored", place=repr(failed.object), exc_info=failed.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = of_process, of_thread, ignored


def _common(service: str) -> list[Callable[[Any, str, Event], Event]]:
    def named(_: Any, __: str, event: Event) -> Event:
        event["service"] = service
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        named,
        without_secrets,
    ]


def _origin(_: Any, __: str, event: Event) -> Event:
    """Add the logger of a library's line, and the process unless it is the main one."""
    record: logging.LogRecord = event["_record"]
    event["logger"] = record.name
    if record.processName not in (None, "MainProcess"):
        event["process"] = record.processName
    return event


class _LineHandler(logging.StreamHandler[Any]):
    """Logs one line for a record that could not be formatted, where the base class prints a traceback."""

    def __init__(self, service: str, form: LogFormat) -> None:
        super().__init__(sys.stderr)
        self.service = service
        self.form = form

    def handleError(self, record: logging.LogRecord) -> None:
        """Called while the exception is handled."""
        error = sys.exc_info()[1]
        # After a write error this line could not be written either.
        if record.name != __name__ and not isinstance(error, OSError):
            logger(__name__).error("log.unwritable", logger=record.name, reason=type(error).__name__)
