"""The way to a judge speaks the protocol as its authors wrote it down."""

from __future__ import annotations

import pytest
from judges import ScriptedJudge
from pydantic import TypeAdapter
from serving_on_loopback import Serve

from evaluation.judge.endpoint import Completion, Judge, JudgeAddress
from evaluation.judge.prompts import load_prompts
from evaluation.patience import Patience

QUESTIONS = [(file, name) for file in ("tooleval", "toolalpaca") for name in load_prompts(file).questions]


@pytest.mark.parametrize(("file", "name"), QUESTIONS)
async def test_a_request_is_one_of_the_protocol(serve: Serve, file: str, name: str) -> None:
    params = pytest.importorskip("openai.types.chat.completion_create_params")
    judge, prompts = ScriptedJudge(lambda function, request: "So."), load_prompts(file)
    async with Judge(JudgeAddress(f"{serve(judge.application())}/v1/", "m"), Patience(away_s=0)) as asked:
        function = prompts.questions[name].function(name)
        said = await asked.ask("?", function, temperature=prompts.temperature, max_tokens=prompts.max_tokens)
    assert said.text == "So."
    TypeAdapter(params.CompletionCreateParamsNonStreaming).validate_python(judge.asked[0])


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
