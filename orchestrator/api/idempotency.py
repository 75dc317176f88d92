"""The `Idempotency-Key` header: its form, and what makes two requests the same one."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import AfterValidator, BaseModel
from pydantic.json_schema import SkipJsonSchema

from alpha_umi.contract.problems import ServiceError
from orchestrator.request_keys import HEADER
from orchestrator.store import RequestKey

MAX_CHARACTERS = 255
# How an answer is delivered says nothing about what was asked: a client may come back another way.
_DELIVERY = {"stream", "background"}
# Fields that a first release had not: absent, they leave the digest of a request as it was stored before an upgrade.
_ADDED = {"max_tokens", "max_depth", "max_repeats"}
_FORM = f"{HEADER} has 1 to {MAX_CHARACTERS} visible ASCII characters"


def _well_formed(key: str | None) -> str | None:
    if key is not None and not (
        1 <= len(key) <= MAX_CHARACTERS and key.isascii() and key.isprintable() and " " not in key
    ):
        raise ValueError(_FORM)
    return key


async def _one_key(
    request: Request,
    key: Annotated[
        str | SkipJsonSchema[None],
        AfterValidator(_well_formed),
        Header(
            alias=HEADER,
            description="The same request with the same key is carried out once; it is known for 72 hours",
            json_schema_extra={"minLength": 1, "maxLength": MAX_CHARACTERS, "pattern": "^[!-~]+$"},
        ),
    ] = None,
) -> str | None:
    if len(request.headers.getlist(HEADER)) > 1:
        raise ServiceError("invalid-request", f"there are two {HEADER} headers", field=HEADER, remedy="send one")
    return key


IdempotencyKey = Annotated[str | None, Depends(_one_key)]


def request_key(request: Request, key: str | None, body: BaseModel) -> RequestKey | None:
    """What identifies the request, if it has a key."""
    if key is None:
        return None
    return RequestKey(request.state.key_id, request.url.path, key, _digest(body))


def _digest(body: BaseModel) -> str:
    """SHA-256 of the body as it was understood, however it was written."""
    understood = body.model_dump(mode="json", exclude=_DELIVERY)
    told = {name: value for name, value in understood.items() if value is not None or name not in _ADDED}
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
