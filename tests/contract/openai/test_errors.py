"""Errors as OpenAI's clients read them."""

from __future__ import annotations

from typing import get_args

import pytest

from alpha_umi.contract.openai.errors import code_of, error_body, status_of
from alpha_umi.contract.problems import FieldProblem, Kind, ServiceError


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_has_a_status_that_clients_handle_and_a_code(kind: Kind) -> None:
    body = error_body(ServiceError(kind, "detail"))
    status = status_of(kind)
    assert 400 <= status < 600
    assert status != 422
    assert body.code == code_of(kind)
    assert "-" not in body.code
    assert (body.type in ("server_error", "model_error")) == (status >= 500)


def test_the_first_field_is_param_and_the_message_has_every_fault_and_remedy() -> None:
    further = FieldProblem(field="tools.1.name", message="it is too long")
    error = ServiceError("invalid-request", "no text", field="input.0.content.2", remedy="write one", errors=[further])
    body = error_body(error)
    assert body.param == "input[0].content[2]"
    assert body.message == "no text (write one); tools.1.name: it is too long"
    assert body.type == "invalid_request_error"


def test_a_parameter_of_the_query_is_param_by_its_name() -> None:
    assert error_body(ServiceError("invalid-request", "too large", field="query.limit")).param == "limit"


def test_members_beside_the_detail_stay_and_replace_none() -> None:
    body = error_body(ServiceError("owner-limit", "full", extra={"reason": "queue", "code": "x"}))
    assert body.model_dump() == {
        "message": "full",
        "type": "too_many_requests",
        "param": None,
        "code": "rate_limit_exceeded",
        "reason": "queue",
    }
