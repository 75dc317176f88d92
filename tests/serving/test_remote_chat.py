"""Role engines on chat servers of any make: what is learned at the start, and what is sent and read afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from support.chat_servers import ChatServer, Refusal, hosted, llama_cpp, ollama, plain, sglang, vllm
from support.role_apps import application, client_of
from support.serving_on_loopback import Serve

from alpha_umi.roles.caller import parse_call
from alpha_umi.roles.template import ChatPrompt, Message, load_any_template
from alpha_umi.roles.turns import Role, Tool
from alpha_umi.serving.application import create_shared_application
from alpha_umi.serving.assembly import role_parts
from alpha_umi.serving.calls.grammar import answer_grammar, call_grammar
from alpha_umi.serving.engine import Choices, Chunk, EngineRefused, EngineUnavailable, Generation, PromptTooLong
from alpha_umi.serving.loading import load_role, load_shared
from alpha_umi.serving.remote.chat import ChatEngine
from alpha_umi.serving.remote.engine import RemoteOptions
from alpha_umi.serving.remote.errors import Server
from alpha_umi.serving.remote.lengths import Lengths
from alpha_umi.serving.remote.wire import is_same_model
from alpha_umi.serving.scripted import CANARY
from alpha_umi.serving.settings import RoleSettings, UnusableSettings
from services.caller import create_router as caller_router
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router

PROMPT = ChatPrompt((Message("system", "Be short."), Message("user", "What is the capital of France?")))
THINKING = ChatPrompt(PROMPT.messages, thinking=True)
DECISIONS = (" caller.", " conclusion.", " give up.")
CITY = {
    "type": "object",
    "properties": {"city": {"$ref": "#/$defs/name"}},
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"name": {"type": "string", "enum": ["Oslo", "Rome"]}},
}
TOOLS = [Tool("get weather", parameters=CITY), Tool("list_cities")]
MAKES: dict[str, Callable[..., ChatServer]] = {
    "vllm": vllm, "sglang": sglang, "llama_cpp": llama_cpp, "ollama": ollama, "hosted": hosted, "plain": plain,
}  # fmt: skip


@contextlib.asynccontextmanager
async def engine_on(server: ChatServer, serve: Serve, **options: Any) -> AsyncIterator[ChatEngine]:
    engine = ChatEngine(RemoteOptions(serve(server.app()), **{"model": server.name, **options}))
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()


async def chunks_of(engine: ChatEngine, generation: Generation) -> list[Chunk]:
    return [chunk async for chunk in engine.generate(generation, request_id="r")]


async def text_of(engine: ChatEngine, **fields: Any) -> str:
    generation = Generation(**{"prompt": PROMPT, "max_tokens": 64, **fields})
    return "".join(chunk.text for chunk in await chunks_of(engine, generation))


@pytest.mark.parametrize(
    ("make", "learned"),
    [
        ("vllm", {"constraints": "structured_outputs", "counts": "server"}),
        ("sglang", {"constraints": "response_format", "counts": "server"}),
        ("llama_cpp", {"constraints": "response_format", "counts": "server"}),
        ("ollama", {"constraints": "response_format", "counts": "server"}),
        ("hosted", {"constraints": "response_format", "counts": "server", "omitted": "temperature"}),
        ("plain", {"constraints": "none", "counts": "server"}),
    ],
)
async def test_what_a_server_has_is_learned_at_the_start(serve: Serve, make: str, learned: dict[str, str]) -> None:
    async with engine_on(MAKES[make](), serve) as engine:
        assert engine.stats().server == {"api": "chat", **learned}
        assert engine.context == 4_096


@pytest.mark.parametrize("make", ["vllm", "sglang", "llama_cpp", "ollama", "hosted"])
async def test_constraints_hold_on_every_make(serve: Serve, make: str) -> None:
    async with engine_on(MAKES[make](), serve) as engine:
        assert await text_of(engine, continuation="I look it up. Next:", constraint=Choices(DECISIONS)) in DECISIONS
        call = parse_call(await text_of(engine, constraint=call_grammar(TOOLS[:1])))
        assert (call.name, call.arguments["city"] in ("Oslo", "Rome")) == ("get weather", True)
        answer = {
            "type": "object",
            "properties": {"sum": {"const": 7}},
            "required": ["sum"],
            "additionalProperties": False,
        }
        assert json.loads(await text_of(engine, constraint=answer_grammar(json.dumps(answer))))["sum"] == 7
        assert json.loads(await text_of(engine, constraint=answer_grammar('{"enum": ["a"]}'))) == "a"


async def test_a_server_with_tools_alone_has_to_call_one(serve: Serve) -> None:
    async with engine_on(hosted(ways={"tools"}), serve) as engine:
        assert engine.stats().server["constraints"] == "tools"
        assert await text_of(engine, constraint=Choices(DECISIONS)) in DECISIONS
        call = parse_call(await text_of(engine, constraint=call_grammar(TOOLS)))
        assert call.name == "get weather", "no function may have this name there, so it gets another one"
        assert json.loads(await text_of(engine, constraint=answer_grammar('{"enum": ["a"]}'))) == "a"


async def test_a_tool_may_have_the_name_that_stands_for_another(serve: Serve) -> None:
    async with engine_on(hosted(ways={"tools"}), serve) as engine:
        tools = [Tool("get weather", parameters=CITY), Tool("tool_0")]
        assert parse_call(await text_of(engine, constraint=call_grammar(tools))).name == "get weather"


async def test_a_text_that_has_begun_is_continued(serve: Serve) -> None:
    one, other = vllm(), ollama()
    for server in (one, other):
        async with engine_on(server, serve) as engine:
            begun = ChatPrompt((*PROMPT.messages, Message("assistant", "The capital ")))
            await text_of(engine, prompt=begun, continuation="is", stop=("Rome",))
    assert one.bodies[-1]["messages"][-1] == {"role": "assistant", "content": "The capital is"}
    assert one.bodies[-1]["continue_final_message"] is True
    roles = [message["role"] for message in other.bodies[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert "stop" not in other.bodies[-1], "stop strings are matched here"


async def test_a_stop_string_ends_the_text_and_the_count_still_comes(serve: Serve) -> None:
    server = sglang(model=lambda body: "I look it up. Next: caller. Action:")
    async with engine_on(server, serve) as engine:
        chunks = await chunks_of(engine, Generation(PROMPT, 64, stop=("Next: caller",)))
        assert "".join(chunk.text for chunk in chunks) == "I look it up. Next: caller"
        assert (chunks[-1].finish_reason, chunks[-1].prompt_tokens) == ("stop", 8)


@pytest.mark.parametrize("make", ["vllm", "sglang", "ollama", "plain"])
async def test_thinking_comes_as_a_block_in_front(serve: Serve, make: str) -> None:
    server = MAKES[make](thought="Next: caller or not?", model=lambda body: "Paris. Next: caller")
    async with engine_on(server, serve) as engine:
        written = await text_of(engine, prompt=THINKING, stop=("Next: caller",))
        spaced = "Next:calleror not?" if make == "none" else written[len("<think>") : written.index("</think>")]
        assert written == f"<think>{spaced}</think>Paris. Next: caller", "no stop string counts inside"
        assert "<think>" not in await text_of(engine), "it is switched off where the prompt wants none"


async def test_thinking_that_never_ends_stays_open(serve: Serve) -> None:
    async with engine_on(vllm(thought="and so on and on"), serve) as engine:
        assert await text_of(engine, prompt=THINKING, max_tokens=3) == "<think>and so on "


async def test_a_schema_that_the_server_refuses_is_loosened(serve: Serve) -> None:
    def check(body: dict[str, Any]) -> None:
        if "pattern" in json.dumps(body):
            raise Refusal("Failed to parse grammar", 400)

    server = llama_cpp(check=check)
    async with engine_on(server, serve) as engine:
        tool = Tool("t", parameters={"type": "object", "properties": {"code": {"type": "string", "pattern": "^a+$"}}})
        assert parse_call(await text_of(engine, constraint=call_grammar([tool]))).name == "t"


async def test_a_model_whose_template_refuses_a_system_message_gets_none(serve: Serve) -> None:
    def check(body: dict[str, Any]) -> None:
        if body["messages"][0]["role"] == "system":
            raise Refusal("System role not supported")

    server = sglang(check=check)
    async with engine_on(server, serve) as engine:
        await text_of(engine)
        assert engine.stats().server["omitted"] == "system"
        text = "Be short.\n\nWhat is the capital of France?"
        assert server.bodies[-1]["messages"] == [{"role": "user", "content": text}]


@pytest.mark.parametrize("make", ["vllm", "llama_cpp", "ollama"])
async def test_a_server_that_ignores_every_schema_counts_as_one_without_them(serve: Serve, make: str) -> None:
    with capture_logs() as logs:
        async with engine_on(MAKES[make](ways=set()), serve) as engine:
            assert engine.stats().server["constraints"] == "none"
    assert "remote.unconstrained" in [log["event"] for log in logs]


async def test_extensions_off_sends_no_constraint(serve: Serve) -> None:
    server = vllm()
    async with engine_on(server, serve, extensions=False) as engine:
        assert await text_of(engine, constraint=Choices(DECISIONS)) == "Paris."
        assert "structured_outputs" not in server.bodies[-1]


@pytest.mark.parametrize(("written", "outcome"), [("Action: t\nAction Input: {}", "t"), ("no", "call-invalid")])
async def test_without_constraints_a_call_is_checked_and_repaired(serve: Serve, written: str, outcome: str) -> None:
    answers = iter([CANARY, "Let me see.", written])
    server = plain(model=lambda body: "2" if "1 + 1" in str(body["messages"]) else next(answers))
    engine = ChatEngine(RemoteOptions(serve(server.app()), model=server.name))
    async with client_of(application("caller", caller_router, engine)) as client:
        request = {"tools": [{"name": "t"}], "history": [{"role": "user", "content": "q"}], "thought": "I call t."}
        document = (await client.post("/v1/call", json=request)).json()
        learned = (await client.get("/v1/models")).json()["data"][0]["server"]
    assert learned["constraints"] == "none"
    if outcome == "t":
        assert (document["action"]["name"], document["repaired"]) == ("t", True)
    else:
        assert document["type"] == f"urn:alpha-umi:problem:{outcome}"


async def test_half_of_a_surrogate_pair_is_sent_as_it_is(serve: Serve) -> None:
    server = sglang()
    async with engine_on(server, serve) as engine:
        await text_of(engine, prompt=ChatPrompt((Message("user", "half \ud83d"),)))
    assert server.bodies[-1]["messages"][0]["content"] == "half \ud83d"


LONG = ChatPrompt((Message("user", "word " * 5_000),))


@pytest.mark.parametrize("make", ["vllm", "sglang", "llama_cpp"])
async def test_a_prompt_that_is_too_long_teaches_the_context_and_nothing_of_other_prompts(
    serve: Serve, make: str
) -> None:
    server = MAKES[make](context=1_000, entry={})
    async with engine_on(server, serve) as engine:
        short = ChatPrompt((Message("user", "a " * 1_100),))
        before = engine.count_tokens(short)
        for _ in range(2):
            with pytest.raises(PromptTooLong):
                await text_of(engine, prompt=short)
            assert (engine.context, engine.count_tokens(short)) == (1_000, before)


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("This model's maximum context length is 4096 tokens. However, your prompt contains 9000 input tokens", 4_096),
        ("The input (9000 tokens) is longer than the model's context length (4096 tokens).", 4_096),
        ("request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it", 4_096),
        ("the input length exceeds the context length", None),
        ("This model's maximum prompt length is 131072 but the request contains 537812 tokens", 131_072),
        ("Prompt contains 9000 tokens, too large for model with 4096 maximum context length", None),
        ("Please reduce the length of the messages or completion.", None),
        ("The input token count (9000) exceeds the maximum number of tokens allowed (4096).", None),
    ],
)
def test_refusals_of_a_length_are_recognized(message: str, limit: int | None) -> None:
    error = Server(httpx.URL("http://gpu:8000/v1"), None).failure(400, message)
    assert isinstance(error, PromptTooLong)
    assert error.limit == limit


async def test_a_prompt_that_the_server_cuts_is_no_answer(serve: Serve) -> None:
    async with engine_on(ollama(context=1_000), serve) as engine:
        with pytest.raises(EngineRefused, match=r"counts 502 tokens .* set ALPHA_UMI_ROLE_MAX_MODEL_LEN"):
            await text_of(engine, prompt=LONG)


async def test_lengths_follow_the_servers_own_count(serve: Serve) -> None:
    async with engine_on(sglang(context=90_000), serve) as engine:
        before = engine.count_tokens(LONG)
        await text_of(engine, prompt=LONG)
        after = engine.count_tokens(LONG)
        assert 5_000 < after < 5_000 * 1.2 < before


def test_dense_prompts_make_no_other_prompt_look_cut() -> None:
    lengths = Lengths()
    for _ in range(8):
        lengths.learn("1 2 " * 1_000, 4_000)
    assert not lengths.is_cut("word " * 1_000, 1_000)
    assert lengths.is_cut("word " * 1_000, 500)


async def test_a_server_that_counts_no_tokens_is_estimated(serve: Serve) -> None:
    async with engine_on(plain(counts=False), serve) as engine:
        assert engine.stats().server["counts"] == "estimated"
        chunks = await chunks_of(engine, Generation(PROMPT, 64))
        assert (chunks[-1].prompt_tokens, chunks[-1].completion_tokens) == (engine.count_tokens(PROMPT), 1)


async def test_another_model_than_named_is_refused(serve: Serve) -> None:
    with pytest.raises(EngineRefused, match="answers as 'large' where 'small' is named"):
        async with engine_on(vllm(answers_as="large"), serve):
            pass
    with pytest.raises(EngineRefused, match="has no model 'tiny'; it has small"):
        async with engine_on(vllm(), serve, model="tiny"):
            pass


@pytest.mark.parametrize(
    ("named", "answering", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("qwen3", "qwen3:latest", True),
        ("qwen3", "qwen3:8b", False),
        ("small-3", "small-3-5-large", False),
        ("small", "small-2503", True),
        ("org/small", "small", True),
        ("org/small", "other/small", False),
        ("sonnet-latest", "sonnet-20261022", True),
    ],
)
def test_names_of_one_model(named: str, answering: str, same: bool) -> None:
    assert is_same_model(named, answering) is is_same_model(answering, named) is same


@dataclass
class Written(ChatServer):
    """Streams a text that is written already."""

    text: str = ""

    def _answer(self, body: dict[str, Any], tokens: int) -> Iterator[str]:
        yield self.text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("data: {broken\n\n", EngineRefused),
        ('data: {"choices": [{"delta": {"content": 7}}]}\n\n', EngineRefused),
        ('data: {"choices": [{"delta": {}, "finish_reason": "content_filter"}]}\n\n', EngineRefused),
        ("\x00\x01 garbage \n\n", EngineUnavailable),
        ('data: {"choices": [{"delta": {"content": "half"}}]}\n\n', EngineUnavailable),
    ],
)
async def test_a_stream_of_garbage_is_a_typed_error(serve: Serve, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        async with engine_on(Written(text=text), serve):
            pass


ENDED = 'data: {"choices": [{"delta": {"content": "Rome"}, "finish_reason": "stop"}]}\n\n'
REFUSED = ENDED.replace("content", "refusal")
COUNTED = 'data: {"choices": [{"delta": {"content": ""}}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}\n\n'


@pytest.mark.parametrize("text", [ENDED + COUNTED, REFUSED + COUNTED])
async def test_counts_beside_an_empty_part_after_the_end_are_read(serve: Serve, text: str) -> None:
    async with engine_on(Written(text=text), serve, extensions=False) as engine:
        (chunk,) = await chunks_of(engine, Generation(PROMPT, 64))
    assert chunk == Chunk("Rome", 7, 3, finish_reason="stop")


def history(turns: int) -> list[dict[str, str]]:
    observations = [{"role": "observation", "content": f"{number} " * 60} for number in range(turns)]
    return [{"role": "user", "content": "How warm is it?"}, *observations, {"role": "user", "content": "And now?"}]


def planner_model(body: dict[str, Any]) -> str:
    return CANARY if "France" in body["messages"][-1]["content"] else "It is known. Next: conclusion"


@pytest.mark.parametrize("make", ["vllm", "llama_cpp"])
async def test_a_prompt_that_the_server_refuses_is_fitted_again(serve: Serve, make: str) -> None:
    server = MAKES[make](context=700, entry={}, model=planner_model)
    engine = ChatEngine(RemoteOptions(serve(server.app()), model=server.name))
    request = {"tools": [{"name": "t"}], "history": history(20)}
    async with client_of(application("planner", planner_router, engine)) as client:
        response = await client.post("/v1/plan", json=request)
        answer = response.json()
    assert response.status_code == 200, answer
    assert (answer["next"], answer["truncated"]) == ("conclusion", True)
    assert 300 < answer["usage"]["prompt_tokens"] <= 700
    sent = server.bodies[-1]["messages"][-1]["content"]
    assert answer["prompt_sha256"] == hashlib.sha256(sent.encode()).hexdigest()


async def test_a_server_that_refuses_every_length_is_a_typed_failure(serve: Serve) -> None:
    def check(body: dict[str, Any]) -> None:
        if "And now?" in body["messages"][-1]["content"]:
            raise Refusal("the prompt is too long")

    server = llama_cpp(check=check, model=planner_model)
    engine = ChatEngine(RemoteOptions(serve(server.app()), model=server.name))
    request = {"tools": [{"name": "t"}], "history": history(1)}
    async with client_of(application("planner", planner_router, engine)) as client:
        problem = (await client.post("/v1/plan", json=request)).json()
    assert problem["type"] == "urn:alpha-umi:problem:context-exceeded"
    assert "the prompt is too long" in problem["detail"]
    assert "ALPHA_UMI_ROLE_MAX_MODEL_LEN" in str(problem["errors"])


def settings_of(server: ChatServer, serve: Serve, **changes: Any) -> RoleSettings:
    given = {"remote_url": serve(server.app()), "remote_model": server.name}
    return RoleSettings(engine="remote", remote_api="chat", **{**given, **changes})


async def test_a_service_needs_nothing_but_the_server(serve: Serve) -> None:
    """The three roles on one engine, from their settings alone."""

    def model(body: dict[str, Any]) -> str:
        task = body["messages"][-1]["content"]
        answers = {
            "capital of France": "Paris.",
            "Go on": " what it is. Next: caller.",
            "answer the": "42",
        }
        return next((answer for words, answer in answers.items() if words in task), "2")

    server, chat = ollama(model=model), load_any_template("chat")
    roles: tuple[Role, ...] = ("planner", "caller", "summarizer")
    routers = {"planner": planner_router, "caller": caller_router, "summarizer": summarizer_router}
    parts = role_parts(load_shared(roles, settings_of(server, serve)), routers, dict.fromkeys(roles, 64))
    history, tools = [{"role": "user", "content": "How much is it?"}], [{"name": "t"}]
    async with client_of(create_shared_application(parts)) as client:
        plan = (await client.post("/v1/plan", json={"tools": tools, "history": history})).json()
        call = (
            await client.post("/v1/call", json={"tools": tools, "history": history, "thought": plan["text"]})
        ).json()
        answer = (await client.post("/v1/summarize", json={"history": history})).json()
        shown = (await client.get("/v1/models")).json()["data"]
    assert (plan["next"], call["action"], answer["answer"]) == ("caller", {"name": "t", "arguments": {}}, "42")
    assert {(entry["template"], entry["template_version"]) for entry in shown} == {("chat", chat.version)}
    assert {entry["server"]["constraints"] for entry in shown} == {"response_format"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "org/name"}, "ALPHA_UMI_ROLE_MODEL is set"),
        ({"adapters": "org/name"}, "ALPHA_UMI_ROLE_ADAPTERS is set"),
        ({"template": "toolbench"}, "ALPHA_UMI_ROLE_TEMPLATE: toolbench is for completions"),
        ({"remote_model": None}, "ALPHA_UMI_ROLE_REMOTE_MODEL is not set"),
    ],
)
def test_settings_that_do_not_belong_together_are_named(serve: Serve, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UnusableSettings, match=message):
        load_role("planner", settings_of(ollama(), serve, **changes))
