"""Seeds of the fuzzers in `parser_targets`: inputs that reach deep into each parser."""

from __future__ import annotations

import json
from typing import Any

from alpha_umi.roles.caller import write_call
from alpha_umi.roles.planner import write_plan
from alpha_umi.roles.turns import Tool
from alpha_umi.trajectory import (
    CallMade,
    EffectIntended,
    PlannerDecided,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
    dump_event,
)


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


_PLAN_ANSWER = {
    "thought": "t",
    "next": "caller",
    "text": "t Next: caller.",
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "cached_tokens": 0},
    "timings": {"ttft_ms": 1, "total_ms": 1, "attempts": 1},
    "truncated": False,
}
_PROBLEM = {
    "type": "urn:alpha-umi:problem:output-unreadable",
    "title": "t",
    "status": 502,
    "detail": "d",
    "errors": [{"field": "f", "message": "m"}],
    "text": "raw",
    "usage": {"prompt_tokens": 1},
}
_PARAMETERS = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "minLength": 1, "maxLength": 9, "enum": ["x", "y"]},
        "b": {"type": ["integer", "null"], "minimum": -5, "exclusiveMaximum": 1e3, "multipleOf": 5},
        "c": {"anyOf": [{"$ref": "#/$defs/d"}, {"const": 1.5}], "description": "text"},
        "e": {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 3},
        "f": {"allOf": [{"prefixItems": [True, {"type": "boolean"}]}, {"type": "array"}]},
        "g": {"oneOf": [{"type": "object", "additionalProperties": {"type": "string"}}, False]},
    },
    "required": ["a", "b"],
    "$defs": {"d": {"type": "string", "pattern": "^x", "format": "date"}},
}
_OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "servers": [{"url": "http://tools.example/{v}", "variables": {"v": {"default": "v1"}}}],
    "paths": {
        "/items/{item}": {
            "parameters": [{"name": "item", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {
                "operationId": "look_up",
                "x-effect": "read",
                "parameters": [
                    {"name": "q", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}},
                    {"$ref": "#/components/parameters/p"},
                ],
                "responses": {"200": {"description": "d", "content": {"text/plain": {}}}},
                "security": [{"key": []}],
            },
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/s"}}}},
                "responses": {"default": {"description": "d"}},
            },
        }
    },
    "components": {
        "parameters": {"p": {"name": "X-P", "in": "header", "schema": {"type": "boolean", "default": False}}},
        "schemas": {"s": {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}}},
        "securitySchemes": {"key": {"type": "apiKey", "in": "query", "name": "key"}},
    },
}
_MANIFEST = {
    "name": "n",
    "role": "planner",
    "template": "toolbench",
    "context": 4096,
    "base": "b",
    "canary": {"prompt": "p", "expected": "e"},
    "source": "s",
    "files": {"model.safetensors": "0" * 64},
}
_LOG = [
    dump_event(event)
    for event in (
        TrajectoryCreated(
            "What is it?", ("look_up", "mine"), client_tool_definitions=(Tool("mine", "d", {"type": "object"}),)
        ),
        EffectIntended("planner:0"),
        PlannerDecided("t", "caller", "t Next: caller."),
        CallMade("call_1", "look_up", {"item": "lamp"}, "Action: look_up\nAction Input: {}"),
        ToolObserved("call_1", "5", is_error=True),
        PlannerDecided("t", "give up", "t Next: give up."),
        TrajectoryFinished(),
    )
]


SEEDS: dict[str, list[bytes]] = {
    "plan": [
        write_plan("I look.", "caller").encode(),
        b"Next: conclusion",
        b"Next: give up. Next: caller",
        b"Next:\tlunch",
    ],
    "call": [write_call("look_up", {"item": "lamp", "n": [1.5, None, True]}).encode(), b"Action: a\nAction Input: {}"],
    "step": [b"I look.\nAction: a\nAction Input: {}", b"Known.\nconclusion: yes", b"conclusion: give up."],
    "template": [b"toolbench", b"../toolbench", b"</s> user: {history} {thought}"],
    "manifest": [_encoded(_MANIFEST)],
    "openapi": [
        _encoded(_OPENAPI),
        _encoded(_OPENAPI | {"openapi": "3.0.3"}),
        b"openapi: 3.0.0\ninfo: {title: t, version: '1'}\npaths:\n  /a:\n    get: {responses: {200: {description: d}}}",
    ],
    "sources": [
        _encoded({"sources": [{"name": "a", "url": "http://a.example/x", "headers": {"X-Key": "${KEY}"}}]}),
        b"sources:\n- name: a\n  document: '{}'\n  effect: read\n  credentials: {key: '$KEY'}\n",
    ],
    "schema": [_encoded(_PARAMETERS), b'{"properties": {"a": {"type": "integer", "minimum": 1, "maximum": 31}}}'],
    "role_answer": [
        b"\x00" + _encoded(_PLAN_ANSWER),
        b"\x0f" + _encoded(_PROBLEM),
        b'\x18event: delta\ndata: {"text": "a"}\n\nevent: done\ndata: ' + _encoded(_PLAN_ANSWER) + b"\n\n",
        b"\x18event: error\r\nid: 5\rretry: 9\n: comment\ndata: " + _encoded(_PROBLEM) + b"\n\n",
    ],
    "trajectory_log": [_encoded(_LOG), *(_encoded(_LOG[:count]) for count in (1, 3, 4))],
    "key_file": [b"# keys\n0123abcd sha256:" + b"0f" * 32 + b" name\n\n89abcdef sha256:" + b"a0" * 32 + b"\n"],
}
