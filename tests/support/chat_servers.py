"""Chat servers of several makes over HTTP. Each refuses and ignores what the real one does; only the model is scripted.

Sources: vLLM 0.32 (`entrypoints/openai/chat_completion/protocol.py`), SGLang (`entrypoints/openai/protocol.py`),
llama.cpp (`tools/server/server-common.cpp`), Ollama (`openai/openai.go`), OpenAI's API reference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from support.mask_walk import walk

Body = dict[str, Any]
Model = Callable[[Body], str]

_COMMON = {"model", "messages", "stream", "stream_options", "max_tokens", "temperature", "top_p", "seed"}
_STRICT_KEYWORDS = {"type", "properties", "required", "additionalProperties", "items", "enum", "anyOf", "description"}


class Refusal(Exception):
    """The server's answer to a request that it does not take."""

    def __init__(self, message: str, status: int = 400, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.document = {"error": {"message": message, "code": status, **fields}}


@dataclass
class ChatServer:
    """A server that does what its make does.

    `fields` are those that it knows; others are ignored, or refused if it is `strict`. `ways` are the constraints that
    it holds its model to. `context` counts words here, of prompt and answer; a longer prompt is refused with
    `too_long`, or cut if that is empty. `reasoning` names the field of the thinking in deltas, "" leaves it in the
    text. `model` writes the text of a request without a constraint; a text with a constraint is any that it allows.
    """

    name: str = "small"
    entry: Body = field(default_factory=dict)
    answers_as: str = ""
    fields: set[str] = field(default_factory=set)
    strict: bool = False
    ways: set[str] = field(default_factory=set)
    context: int = 4_096
    too_long: str = "This model's maximum context length is {context} tokens. However, you requested {tokens} tokens."
    reasoning: str = ""
    thought: str = ""
    counts: bool = True
    model: Model = lambda body: "Paris."
    check: Callable[[Body], None] = lambda body: None
    bodies: list[Body] = field(default_factory=list)

    def app(self) -> FastAPI:
        """The HTTP side."""
        app = FastAPI()

        @app.get("/v1/models")
        async def models() -> Body:
            return {"object": "list", "data": [{"id": self.name, "object": "model", **self.entry}]}

        @app.post("/v1/chat/completions")
        async def chat(request: Request) -> Response:
            body = await request.json()
            self.bodies.append(body)
            try:
                self._check_fields(body)
                self.check(body)
                tokens = self._read(body)
                return StreamingResponse(self._answer(body, tokens), media_type="text/event-stream")
            except Refusal as error:
                return JSONResponse(error.document, error.status)

        return app

    def _check_fields(self, body: Body) -> None:
        unknown = sorted(body.keys() - _COMMON - self.fields)
        if self.strict and unknown:
            raise Refusal(f"Unrecognized request argument supplied: {unknown[0]}", type="invalid_request_error")
        if body["model"] != self.name:
            raise Refusal(f"The model `{body['model']}` does not exist.", 404)

    def _read(self, body: Body) -> int:
        words = " ".join(message["content"] for message in body["messages"]).split()
        if len(words) <= self.context:
            return len(words)
        if not self.too_long:
            return self.context // 2 + 2
        raise Refusal(self.too_long.format(context=self.context, tokens=len(words)))

    def _answer(self, body: Body, tokens: int) -> Iterator[str]:
        written = self._constrained(body)
        if isinstance(written, dict):
            half = len(written["arguments"]) // 2
            first = {"index": 0, "id": "c", "type": "function", "function": {**written, "arguments": ""}}
            pieces: list[Body] = [{"content": "I call it now. "}, {"tool_calls": [first]}]
            for part in (written["arguments"][:half], written["arguments"][half:]):
                pieces.append({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
        else:
            text = self.model(body) if written is None else written
            thinks = self.thought and body.get("reasoning_effort") != "none"
            pieces = [{self.reasoning: word} for word in _words(self.thought)] if thinks and self.reasoning else []
            text = f"<think>{self.thought}</think>{text}" if thinks and not self.reasoning else text
            pieces += [{"content": word} for word in _words(text)]
        limit = int(body.get("max_tokens") or body["max_completion_tokens"])
        reason = "length" if len(pieces) > limit else "tool_calls" if isinstance(written, dict) else "stop"
        yield self._event([{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
        for piece in pieces[:limit]:
            yield self._event([{"delta": piece, "finish_reason": None}])
        yield self._event([{"delta": {}, "finish_reason": reason}])
        if self.counts and body.get("stream_options", {}).get("include_usage"):
            yield self._event([], usage={"prompt_tokens": tokens, "completion_tokens": min(len(pieces), limit)})
        yield "data: [DONE]\n\n"

    def _event(self, choices: list[Body], **fields: Any) -> str:
        document = {"model": self.answers_as or self.name, "choices": choices, **fields}
        return f"data: {json.dumps(document)}\n\n"

    def _constrained(self, body: Body) -> str | Body | None:
        """The text or the call that a constraint of the request allows; None without one that counts here."""
        if "structured_outputs" in self.ways and (outputs := body.get("structured_outputs")):
            return str(outputs["choice"][0]) if "choice" in outputs else walk(outputs["grammar"], 0, at_most=999)[0]
        if "response_format" in self.ways and (wanted := body.get("response_format")):
            return _json(wanted["json_schema"]["schema"])
        if "tools" in self.ways and body.get("tool_choice") == "required":
            function = body["tools"][0]["function"]
            return {"name": function["name"], "arguments": _json(function["parameters"])}
        return None


def vllm(**changes: Any) -> ChatServer:
    """vLLM ignores what it does not know, and takes any JSON Schema and llguidance's grammars."""

    def check(body: Body) -> None:
        if body.get("continue_final_message") and body.get("add_generation_prompt", True):
            raise Refusal("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")

    server = ChatServer(entry={"max_model_len": 4_096}, reasoning="reasoning", check=check)
    return _changed(server, {"ways": {"structured_outputs", "response_format", "tools"}} | changes)


def sglang(**changes: Any) -> ChatServer:
    """SGLang ignores what it does not know, vLLM's field among it."""
    too_long = "The input ({tokens} tokens) is longer than the model's context length ({context} tokens)."
    server = ChatServer(entry={"max_model_len": 4_096}, reasoning="reasoning_content", too_long=too_long)
    return _changed(server, {"ways": {"response_format", "tools"}} | changes)


def llama_cpp(**changes: Any) -> ChatServer:
    """llama.cpp ignores what it does not know, and refuses grammars beside tools."""
    too_long = "request ({tokens} tokens) exceeds the available context size ({context} tokens), try increasing it"
    server = ChatServer(
        name="small.gguf", entry={"meta": {"n_ctx": 4_096, "n_ctx_train": 8_192}}, reasoning="reasoning_content"
    )
    return _changed(server, {"too_long": too_long, "ways": {"response_format", "tools"}} | changes)


def ollama(**changes: Any) -> ChatServer:
    """Ollama ignores what it does not know, names a tag, and silently cuts a prompt that is too long."""
    server = ChatServer(name="small:latest", reasoning="reasoning", too_long="")
    return _changed(server, {"ways": {"response_format"}} | changes)


def hosted(**changes: Any) -> ChatServer:
    """OpenAI refuses fields and values that a model does not take, and answers as a dated version."""

    def check(body: Body) -> None:
        if "max_tokens" in body:
            raise Refusal(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                "instead.",
                param="max_tokens",
            )
        if body.get("temperature", 1) != 1:
            raise Refusal("Unsupported value: 'temperature' does not support 0 with this model.", param="temperature")
        form = body.get("response_format", {}).get("json_schema", {})
        for strict in [form, *(tool["function"] for tool in body.get("tools", ()))]:
            if strict.get("strict"):
                _check_strict(strict.get("schema", strict.get("parameters")))

    known = {"max_completion_tokens", "reasoning_effort", "response_format", "tools", "tool_choice"}
    server = ChatServer(name="small", answers_as="small-2026-08-06", strict=True, fields=known, check=check)
    return _changed(server, {"ways": {"response_format", "tools"}} | changes)


def plain(**changes: Any) -> ChatServer:
    """A server without any constraints, and with a model that thinks in its text."""
    return _changed(ChatServer(), changes)


def _changed(server: ChatServer, changes: Body) -> ChatServer:
    for name, value in changes.items():
        setattr(server, name, value)
    return server


def _check_strict(schema: Body) -> None:
    if unknown := schema.keys() - _STRICT_KEYWORDS:
        raise Refusal(f"Invalid schema for response_format: {sorted(unknown)[0]!r} is not permitted.")
    lists_all = {*schema.get("properties", {})} == {*schema.get("required", ())}
    if schema.get("type") == "object" and not (schema.get("additionalProperties") is False and lists_all):
        raise Refusal("Invalid schema for response_format: 'additionalProperties' is required to be false.")
    for part in [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]:
        _check_strict(part)


def _json(schema: Body) -> str:
    return walk(f"start: %json {json.dumps(schema)}", 0, at_most=9_999)[0]


def _words(text: str) -> list[str]:
    return [f"{word} " for word in text.split(" ")[:-1]] + [text.split(" ")[-1]]
