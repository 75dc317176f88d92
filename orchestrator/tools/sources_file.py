"""The operator's file of tool sources.

`${NAME}` is expanded from the environment in the `headers` and `credentials` of this file only. A source that came over
the API is never expanded: it could send any variable of this process to a server of its choice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from orchestrator.tools.errors import ToolSourceError
from orchestrator.tools.kinds import parse_source
from orchestrator.tools.source import ToolSource

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def load_sources_file(path: Path | str, *, environ: Mapping[str, str] | None = None) -> list[ToolSource]:
    """The tool sources that a YAML or JSON file lists under `sources`.

    `environ` stands in for the process's environment. Raises `ToolSourceError` that names the entry and field, and
    never shows a value of `headers` or `credentials`.
    """
    path = Path(path)
    entries = _entries(path)
    variables = os.environ if environ is None else environ
    sources = [_source(entry, f"sources.{index}", variables) for index, entry in enumerate(entries)]
    names = [source.name for source in sources]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ToolSourceError(
                f"two sources are called {name!r}", field=f"sources.{index}.name", remedy="rename one"
            )
    return sources


def _entries(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise _bad_file(path, f"is larger than {MAX_FILE_BYTES} bytes")
        content = yaml.safe_load(raw)
    except OSError as error:
        raise _bad_file(path, f"cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = f" (line {mark.line + 1})" if (mark := getattr(error, "problem_mark", None)) else ""
        raise _bad_file(path, f"is neither YAML nor JSON{line}") from error
    entries = content.get("sources") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise _bad_file(path, "has no list `sources`")
    return entries


def _source(entry: Any, field: str, environ: Mapping[str, str]) -> ToolSource:
    if not isinstance(entry, dict):
        raise ToolSourceError("this is not an object", field=field, remedy="give it `name`, `kind` and `url`")
    if "shared" in entry:
        raise ToolSourceError("every source of the file is shared", field=f"{field}.shared", remedy="leave it out")
    expanded = {
        key: _expanded(value, f"{field}.{key}", environ) if key in ("headers", "credentials") else value
        for key, value in entry.items()
    }
    try:
        return parse_source(expanded)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join([field, *(str(part) for part in first["loc"])])
        raise ToolSourceError(first["msg"], field=where, remedy="correct the file") from None


def _expanded(secrets: Any, field: str, environ: Mapping[str, str]) -> Any:
    if not isinstance(secrets, dict):
        return secrets
    return {
        name: _with_variables(value, f"{field}.{name}", environ) if isinstance(value, str) else value
        for name, value in secrets.items()
    }


def _with_variables(text: str, field: str, environ: Mapping[str, str]) -> str:
    for name in _VARIABLE.findall(text):
        if name not in environ:
            raise ToolSourceError(f"the variable {name} is not set", field=field, remedy="set it in the environment")
    return _VARIABLE.sub(lambda match: environ[match[1]], text)


def _bad_file(path: Path, problem: str) -> ToolSourceError:
    return ToolSourceError(f"{path} {problem}", field="sources", remedy="see the example of a sources file")
