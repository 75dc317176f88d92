"""The engine port on a chat server of any make: messages go there, and no tokenizer, weights or manifest is needed.

At the start trial requests learn what the server has: which optional fields it takes, whether it counts tokens, and the
most exact way to hold it to a constraint (`structured`). A server that has none writes freely, and the role services
check, repair and refuse, as they do in the unconstrained mode. Stop strings are matched here, after the thinking.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from alpha_umi import telemetry
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.template import AnyPrompt, ChatPrompt, Message
from alpha_umi.serving.engine import (
    Choices,
    Chunk,
    Constraint,
    EngineRefused,
    Generation,
    Grammar,
    PromptTooLong,
)
from alpha_umi.serving.remote.engine import NO_DEFAULTS, Exchange, RemoteEngine, RemoteOptions
from alpha_umi.serving.remote.errors import ServerFailed
from alpha_umi.serving.remote.lengths import Lengths
from alpha_umi.serving.remote.structured import ENVELOPE_TOKENS, PARAMETRIC, TRIAL_WORD, WAYS, Form, Way, cue, forms
from alpha_umi.serving.remote.wire import Choice
from alpha_umi.serving.thinking import END_OF_THINK, THINK

# A model that cannot leave out its thinking needs room for it.
TRIAL_TOKENS = 256
_TRIAL = ChatPrompt((Message("system", "Answer with a number."), Message("user", "1 + 1 =")))
_TRIAL_ARGUMENTS = {
    "type": "object",
    "properties": {"code": {"type": "string", "enum": [TRIAL_WORD]}},
    "required": ["code"],
    "additionalProperties": False,
}
_TRIAL_CALL = Grammar(PARAMETRIC.lark, tools=((f"sum_{TRIAL_WORD}", json.dumps(_TRIAL_ARGUMENTS)),))
_TRIAL_TEXT = f'Action:sum_{TRIAL_WORD}ActionInput:{{"code":"{TRIAL_WORD}"}}'
# What a request can do without: some servers refuse fields by their names, and some models' templates a system message.
_SYSTEM = "system"
_OPTIONAL = ("reasoning_effort", "stream_options", "seed", "temperature", "top_p", _SYSTEM)
_LIMITS = ("max_tokens", "max_completion_tokens")

_log = telemetry.logger(__name__)


class ChatEngine(RemoteEngine):
    """Prompts as messages."""

    path = "chat/completions"

    def __init__(self, options: RemoteOptions) -> None:
        super().__init__(options)
        self._lengths = Lengths()
        self._counts = False
        self._way: Way = "none"
        self._limit, self._omitted = _LIMITS[0], frozenset[str]()

    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        """An estimate of a prompt's tokens, or of a text's. A prompt that the server counts higher is refused there."""
        return self._lengths.estimate(prompt)

    def text_of(self, prompt: AnyPrompt | str) -> str:
        """The messages as plain text; the server renders them."""
        return prompt if isinstance(prompt, str) else prompt.text

    def describe(self) -> Mapping[str, str]:
        """The API, the way of constraints, who counts tokens, and the fields that the server does not take."""
        learned = {"api": "chat", "constraints": self._way, "counts": "server" if self._counts else "estimated"}
        return learned | ({"omitted": ", ".join(sorted(self._omitted))} if self._omitted else {})

    async def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate; closing the iterator closes the connection, and the server aborts.

        A server that refuses a tool's schema gets the request once more with any arguments, which are checked later.
        """
        offered = list(forms(self._way, generation.constraint))
        for form in offered:
            written = False
            async with contextlib.aclosing(self._counted_chunks(generation, form, request_id)) as chunks:
                try:
                    async for chunk in chunks:
                        written = True
                        yield chunk
                    return
                except (EngineRefused, ServerFailed) as error:
                    if written or form is offered[-1] or isinstance(error, PromptTooLong):
                        raise
                    _log.warning("remote.schema_refused", reason=str(error))

    async def try_out(self) -> None:
        """Learn what the server can do. Raises `EngineRefused` if it does not answer at all."""
        self._lengths, self._counts, self._way = Lengths(), False, "none"
        self._limit, self._omitted = _LIMITS[0], frozenset()
        await self._try_fields()
        if self.options.extensions:
            await self._try_ways()
        _log.info("remote.learned", server=self.server.address, context=self.context, **self.describe())

    async def _try_fields(self) -> None:
        """Leave out each optional field that the server refuses by its name."""
        trial = Generation(_TRIAL, max_tokens=TRIAL_TOKENS, seed=1)
        while True:
            try:
                chunks = [chunk async for chunk in self._counted_chunks(trial, Form({}), "trial")]
                break
            except EngineRefused as error:
                self._leave_out(error)
        if self._counts:
            self._lengths.learn_fixed(_TRIAL, chunks[-1].prompt_tokens)

    def _leave_out(self, error: EngineRefused) -> None:
        """Raises the error if it names no field that can be left out."""
        if self._limit == _LIMITS[0] and self._limit in str(error):
            self._limit = _LIMITS[1]
            return
        reason = str(error).lower()
        named = [field for field in _OPTIONAL if field not in self._omitted and field in reason]
        if not named:
            raise error
        self._omitted |= {named[0]}

    async def _try_ways(self) -> None:
        for way in WAYS:
            self._way = way
            try:
                if all([await self._holds(constraint) for constraint in (Choices((TRIAL_WORD,)), _TRIAL_CALL)]):
                    return
            except (EngineRefused, ServerFailed) as error:
                _log.info("remote.way_refused", way=way, reason=str(error))
        self._way = "none"
        _log.warning("remote.unconstrained", server=self.server.address)

    async def _holds(self, constraint: Constraint) -> bool:
        """Whether the server writes what a constraint demands, which no model writes by itself."""
        trial = Generation(_TRIAL, max_tokens=TRIAL_TOKENS, constraint=constraint)
        expected = TRIAL_WORD if isinstance(constraint, Choices) else _TRIAL_TEXT
        if self._way == "structured_outputs":
            # Of servers with this field, all continue a text.
            trial = replace(trial, continuation="It is")
            expected = TRIAL_WORD if isinstance(constraint, Choices) else f"#{TRIAL_WORD}"
        text = output = ""
        async with contextlib.aclosing(
            self.send(trial, self._exchange(trial, next(forms(self._way, constraint))), "trial")
        ) as chunks:
            async for chunk in chunks:
                text += chunk.text
                if text.startswith(THINK) and END_OF_THINK not in text:
                    continue
                output = "".join(text.rpartition(END_OF_THINK)[2].split())
                # A model without the constraint may write for long.
                if not expected.startswith(output):
                    return False
        return output == expected

    async def _counted_chunks(self, generation: Generation, form: Form, request_id: str) -> AsyncGenerator[Chunk, None]:
        """The chunks of an answer, with an estimate of the prompt's tokens until the server's count comes."""
        sent = self._sent(generation, form)
        estimate, counted = self._lengths.estimate(sent), 0
        async with contextlib.aclosing(self.send(generation, self._exchange(generation, form), request_id)) as chunks:
            async for chunk in chunks:
                if chunk.prompt_tokens != counted:
                    counted = chunk.prompt_tokens
                    self._learn(sent, counted)
                yield replace(chunk, prompt_tokens=counted or estimate)

    def _learn(self, sent: ChatPrompt, tokens: int) -> None:
        self._counts = True
        if self._lengths.is_cut(sent, tokens):
            raise EngineRefused(
                f"the server at {self.server.address} counts {tokens} tokens for a prompt of about "
                f"{self._lengths.estimate(sent)}, so it has cut it; set ALPHA_UMI_ROLE_MAX_MODEL_LEN to its context, "
                "or serve the model with a longer one"
            )
        self._lengths.learn(sent, tokens)

    def _exchange(self, generation: Generation, form: Form) -> Exchange:
        body: dict[str, Any] = {
            "model": self.model_of(generation),
            "messages": [
                {"role": message.role, "content": message.content} for message in self._sent(generation, form).messages
            ],
            self._limit: generation.max_tokens + (ENVELOPE_TOKENS if form.translate else 0),
            "temperature": generation.temperature,
            "top_p": generation.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
            **form.fields,
        }
        if generation.seed is not None:
            body["seed"] = generation.seed
        if not (isinstance(generation.prompt, ChatPrompt) and generation.prompt.thinking):
            body["reasoning_effort"] = "none"
        if self._way == "structured_outputs":
            body |= NO_DEFAULTS | {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
            if self._begun(generation):
                body |= {"continue_final_message": True, "add_generation_prompt": False}
        sent = {name: value for name, value in body.items() if name not in self._omitted}
        return Exchange(sent, _Reader(form), 0, generation.stop)

    def _begun(self, generation: Generation) -> str:
        """The text with which the model's answer begins."""
        begun = generation.prompt.begun if isinstance(generation.prompt, ChatPrompt) else None
        return (begun or "") + generation.continuation

    def _sent(self, generation: Generation, form: Form) -> ChatPrompt:
        """The messages of a generation, with the text that the model has begun and the note of the form."""
        prompt = generation.prompt
        messages = prompt.messages if isinstance(prompt, ChatPrompt) else (Message("user", self.text_of(prompt)),)
        if _SYSTEM in self._omitted:
            messages = _without_system(messages)
        if begun := self._begun(generation):
            answered = messages[:-1] if messages[-1].role == "assistant" else messages
            messages = (*answered, Message("assistant", begun))
            if self._way != "structured_outputs":
                messages = (*messages, Message("user", cue(generation.constraint)))
        if form.note:
            messages = (*messages[:-1], replace(messages[-1], content=f"{messages[-1].content}\n{form.note}"))
        return ChatPrompt(messages)


class _Reader:
    """Takes the text from the parts of an answer: the thinking as a block, then the output, translated at its end."""

    def __init__(self, form: Form) -> None:
        self._translate = form.translate or (lambda output, _: output)
        self._is_held = form.translate is not None
        self._is_thinking = False
        self._output = self._function = self._arguments = ""

    def __call__(self, choice: Choice) -> str:
        delta = choice.delta
        output = delta.content or delta.refusal or ""
        for call in delta.tool_calls or ():
            # One call is wanted; of several the first counts.
            if call.index == 0:
                self._function += call.function.name or ""
                self._arguments += call.function.arguments or ""
        text = self._thinking(delta.reasoning_content or delta.reasoning or "", bool(output or self._function))
        if not self._is_held:
            return text + output
        self._output += output
        return text + self._translated() if choice.finish_reason else text

    def _thinking(self, thought: str, ends: bool) -> str:
        text = ""
        if thought:
            text = thought if self._is_thinking else THINK + thought
            self._is_thinking = True
        if ends and self._is_thinking:
            text += END_OF_THINK
            self._is_thinking = False
        return text

    def _translated(self) -> str:
        """What is not in the form, the role's parser reads, and says what is wrong."""
        written = self._arguments if self._function else self._output
        try:
            return self._translate(written, self._function)
        except (UnreadableOutput, ValueError, LookupError, TypeError, RecursionError):
            return written


def _without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The system text at the beginning of the first message of the user."""
    if messages[0].role != "system":
        return messages
    system, first, *others = messages
    return Message(first.role, f"{system.content}\n\n{first.content}"), *others
