"""The client of a judge follows the published protocol."""

from __future__ import annotations

import json

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import TypeAdapter
from support.judges import Json, ScriptedJudge, completion
from support.serving_on_loopback import Serve

from alpha_umi.client.retry import RetryPolicy
from evaluation.judge.chat_client import Completion, Judge, JudgeAddress, JudgeRefused, TooLong
from evaluation.judge.questions import load_prompts

QUESTIONS = [(file, name) for file in ("tooleval", "toolalpaca") for name in load_prompts(file).questions]


@pytest.mark.parametrize(("file", "name"), QUESTIONS)
async def test_a_request_is_one_of_the_protocol(serve: Serve, file: str, name: str) -> None:
    params = pytest.importorskip("openai.types.chat.completion_create_params")
    judge, prompts = ScriptedJudge(lambda function, request: "So."), load_prompts(file)
    async with Judge(JudgeAddress(f"{serve(judge.application())}/v1/", "m"), RetryPolicy(wait_s=0)) as requested:
        function = prompts.questions[name].function(name)
        reply = await requested.ask("?", function, temperature=prompts.temperature, max_tokens=prompts.max_tokens)
    assert reply.text == "So."
    TypeAdapter(params.CompletionCreateParamsNonStreaming).validate_python(judge.requests[0])


def test_an_answer_of_the_protocol_is_read() -> None:
    chat = pytest.importorskip("openai.types.chat")
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"index": 1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    answer = chat.ChatCompletion.model_validate({
        "id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
    })  # fmt: skip
    assert Completion.model_validate_json(answer.model_dump_json()).text == '{"index": 1}'


def test_nothing_shows_the_key() -> None:
    assert "secret" not in repr(JudgeAddress("http://127.0.0.1/v1", "m", "secret"))
    assert JudgeAddress("http://user:word@127.0.0.1/v1?k=word", "m").shown == "http://127.0.0.1/v1"


KEY = "a-key-of-ours"
NO_RETRY = RetryPolicy(wait_s=0)


async def ask(judge: Judge) -> Completion:
    return await judge.ask("?", None, temperature=0, max_tokens=None)


UNREADABLE = [
    JSONResponse({"choices": []}),
    Response(b'{"choices": [{"message": {"content": "\\ud800"}}]}', media_type="application/json"),
    PlainTextResponse("hello"),
    # Longer than what is read of it.
    Response(completion("x").body + b" " * (4 * 2**20)),
]


@pytest.mark.parametrize("odd", UNREADABLE)
async def test_what_cannot_be_read_is_an_empty_answer_of_a_known_judge(serve: Serve, odd: Response) -> None:
    reply = [completion("So."), odd, completion("So.")]
    judge = ScriptedJudge(lambda function, request: reply.pop(0))
    async with Judge(JudgeAddress(f"{serve(judge.application())}/v1", "m"), NO_RETRY) as requested:
        assert [(await ask(requested)).text for _ in range(3)] == ["So.", "", "So."]


@pytest.mark.parametrize("odd", UNREADABLE)
async def test_what_cannot_be_read_at_first_is_no_judge(serve: Serve, odd: Response) -> None:
    judge = ScriptedJudge(lambda function, request: odd)
    async with Judge(JudgeAddress(f"{serve(judge.application())}/v1", "m"), NO_RETRY) as requested:
        with pytest.raises(JudgeRefused, match="not a chat completion"):
            await ask(requested)


@pytest.mark.parametrize("form", ["words", "list", "name"])
@pytest.mark.parametrize(("status", "error"), [(404, JudgeRefused), (400, TooLong)])
async def test_no_part_of_the_key_is_reported(serve: Serve, form: str, status: int, error: type[Exception]) -> None:
    # It stands where the message is cut.
    words = "context " + "x" * 285 + KEY
    shown: dict[str, object] = {"words": words, "list": [words], "name": {words: 1}}
    judge = ScriptedJudge(lambda function, request: JSONResponse({"error": shown[form]}, status))
    async with Judge(JudgeAddress(f"{serve(judge.application())}/v1", "m", KEY), NO_RETRY) as requested:
        with pytest.raises(error) as refused:
            await ask(requested)
    assert "xxx[" in str(refused.value)
    assert KEY[:3] not in str(refused.value)


async def test_the_query_of_an_address_stays_behind_the_path(serve: Serve) -> None:
    application, requested = FastAPI(), []

    @application.post("/a%2Fb/v1/chat/completions")
    async def complete(request: Request) -> Response:
        requested.append((request.scope["raw_path"], request.url.query))
        return completion("So.")

    @application.post("/a/b/v1/chat/completions")
    async def decoded(request: Request) -> Response:
        return await complete(request)

    async with Judge(JudgeAddress(f"{serve(application)}/a%2Fb/v1/?api-version=3&x=%20", "m"), NO_RETRY) as judge:
        assert (await ask(judge)).text == "So."
    assert requested == [(b"/a%2Fb/v1/chat/completions", "api-version=3&x=%20")]
    assert httpx.URL("http://u:p@h/v1?q").copy_with(raw_path=b"/v1/models?q") == JudgeAddress(
        "http://u:p@h/v1?q", "m"
    ).at("/models")


def answer(usage: object, arguments: object = "{}") -> bytes:
    message: Json = {"tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
    return json.dumps({"choices": [{"message": message}], "usage": usage}).encode()


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, (3, 4)),
        ({"prompt_tokens": None, "completion_tokens": 4}, (0, 4)),
        ({"prompt_tokens": -5, "completion_tokens": 4}, None),
        ({"prompt_tokens": 10**40}, None),
        ({"prompt_tokens": "many"}, None),
        ([], None),
        (None, None),
    ],
)
def test_invalid_token_counts_are_not_reported(usage: object, tokens: tuple[int, int] | None) -> None:
    output = Completion.model_validate_json(answer(usage)).usage
    assert (output and (output.prompt_tokens, output.completion_tokens)) == tokens


@pytest.mark.parametrize(
    ("arguments", "text"), [({"index": 1}, '{"index": 1}'), ('{"index": 1}', '{"index": 1}'), (None, ""), ([1], "[1]")]
)
def test_arguments_may_be_an_object(arguments: object, text: str) -> None:
    assert Completion.model_validate_json(answer(None, arguments)).text == text
