"""Structured logs: one JSON object per line (or console text), with the trajectory and step ids.

`bind` adds ids to every line of the current task. Secrets are redacted, and no value can forge a line. DEBUG applies to
this project's loggers only: libraries log headers, addresses and database rows there, which include secrets.
"""

from alpha_umi.telemetry.setup import LogFormat, bind, child_logging_config, configure_logs, log_uncaught, logger

__all__ = ["LogFormat", "bind", "child_logging_config", "configure_logs", "log_uncaught", "logger"]
