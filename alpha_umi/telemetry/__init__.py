"""Logs: one JSON object a line (or text for people), with the trajectory and step that they belong to.

`bind` puts ids on every line of the current task. Values of fields that hold secrets are replaced, and no value can
pretend to be a line of its own. DEBUG is for this project's own lines: libraries write headers, addresses and database
rows there, and secrets are among them.
"""

from alpha_umi.telemetry.setup import LogFormat, bind, child_logging_config, configure_logs, log_uncaught, logger

__all__ = ["LogFormat", "bind", "child_logging_config", "configure_logs", "log_uncaught", "logger"]
