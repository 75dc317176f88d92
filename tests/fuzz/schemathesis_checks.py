"""Additional checks of answers for schemathesis."""

from __future__ import annotations

import schemathesis
from schemathesis.core.failures import Failure

from alpha_umi.contract.problems import TYPE_PREFIX, UNUSABLE_OUTPUT

# What a model wrote cannot be used: an answer to a request that left the model on its own, and no defect.
_THE_MODELS = {TYPE_PREFIX + kind for kind in UNUSABLE_OUTPUT}
# A call or an answer that the token limit cut.
_UNFINISHED = {f"{TYPE_PREFIX}call-unfinished", f"{TYPE_PREFIX}answer-invalid"}
# How pydantic refuses what a JSON Schema could have ruled out. Rules of ours have words of their own.
_OF_A_SCHEMA = ("Input should", "Field required", "Extra inputs", "String should", "List should", "Dictionary should")


class ServerFailed(Failure):
    """A status of 500 or above."""


class DocumentTooWide(Failure):
    """The document allows what the service refuses."""


@schemathesis.check
def no_server_error(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> bool | None:
    """No request makes a service fail. What a scripted model writes is refused only where it wrote freely, or did not
    come to an end."""
    if response.status_code < 500:
        return None
    # Nothing may remain before a stop text.
    is_free = isinstance(case.body, dict) and (case.body.get("constrained") is False or case.body.get("stop"))
    allowed = _THE_MODELS if is_free else _UNFINISHED
    if response.status_code == 502 and response.json().get("type") in allowed:
        return None
    raise ServerFailed(operation=case.operation.label, title="Server error", message=_message(response))


@schemathesis.check
def document_is_exact(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> bool | None:
    """A request that follows the document is refused for what no JSON Schema says, or not at all."""
    if response.status_code not in (400, 422) or case.meta is None or not case.meta.generation.mode.is_positive:
        return None
    document = response.json()
    # OpenAI's form has the faults in one text, each after its field.
    parts = document["error"]["message"].split("; ") if "error" in document else []
    messages = [part.partition(": ")[2] for part in parts] + [each["message"] for each in document.get("errors", ())]
    if any(message.startswith(_OF_A_SCHEMA) for message in messages):
        raise DocumentTooWide(
            operation=case.operation.label, title="The document allows what is refused", message=_message(response)
        )
    return None


def _message(response: schemathesis.Response) -> str:
    return f"status {response.status_code}: {response.text}"
