"""The engine port on a completions server, such as `vllm serve`.

Prompts are tokenized here, with special tokens only where the template wrote them, and sent as token ids. The local
folder of tokenizer and manifest must be that of the served model; the canary detects a difference. vLLM's extensions of
the API carry constraints, and stop strings that stay in the text; without them (`extensions`) stop strings are matched
here, and the role services validate outputs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from alpha_umi.roles.template import AnyPrompt
from alpha_umi.serving.engine import Choices, Chunk, Constraint, EngineRefused, Generation
from alpha_umi.serving.remote.engine import NO_DEFAULTS, Exchange, RemoteEngine, RemoteOptions
from alpha_umi.serving.remote.errors import ServerFailed
from alpha_umi.serving.remote.structured import PARAMETRIC, TRIAL_WORD, structured_outputs
from alpha_umi.serving.tokens import PromptTokenizer

_TRIALS: tuple[tuple[Constraint, str], ...] = ((Choices((TRIAL_WORD,)), TRIAL_WORD), (PARAMETRIC, f"#{TRIAL_WORD}"))
_WITHOUT = "or set ALPHA_UMI_ROLE_REMOTE_EXTENSIONS=false"


class CompletionsEngine(RemoteEngine):
    """Prompts as token ids."""

    path = "completions"

    def __init__(self, options: RemoteOptions) -> None:
        super().__init__(options)
        if options.tokenizer is None:
            raise ValueError("completions need the model's tokenizer")
        self._tokenizer = PromptTokenizer(options.tokenizer)

    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        """Tokens of a prompt as `generate` sends it."""
        return len(self._tokenizer.encode(prompt))

    def text_of(self, prompt: AnyPrompt | str) -> str:
        """The text that the model reads."""
        return self._tokenizer.text_of(prompt)

    def describe(self) -> Mapping[str, str]:
        """The API, and whether outputs are constrained."""
        return {"api": "completions", "constraints": "structured_outputs" if self.options.extensions else "none"}

    def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate; closing the iterator closes the connection, and the server aborts."""
        return self.send(generation, self._exchange(generation), request_id)

    def _exchange(self, generation: Generation) -> Exchange:
        ids = self._tokenizer.encode(generation.prompt, generation.continuation)
        body = {
            "model": self.model_of(generation),
            "prompt": ids,
            "max_tokens": generation.max_tokens,
            "temperature": generation.temperature,
            "top_p": generation.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if generation.seed is not None:
            body["seed"] = generation.seed
        if self.options.extensions:
            return Exchange({**body, **_extensions(generation)}, lambda choice: choice.text, len(ids))
        return Exchange(body, lambda choice: choice.text, len(ids), generation.stop)

    async def try_out(self) -> None:
        """Raises `EngineRefused` for a server that silently ignores constraints."""
        adapter = self.options.adapters[0] if self.options.adapters else None
        for constraint, expected in _TRIALS if self.options.extensions else ():
            trial = Generation("1 + 1 =", max_tokens=32, constraint=constraint, adapter=adapter)
            try:
                written = "".join([chunk.text async for chunk in self.generate(trial, request_id="trial")])
            except ServerFailed as error:
                remedy = f"start it with `--structured-outputs-config.backend guidance`, {_WITHOUT}"
                raise EngineRefused(f"{error} to a constraint; {remedy}") from error
            if written != expected:
                raise EngineRefused(
                    f"the server at {self.server.address} wrote {written!r} under a constraint that allows "
                    f"{expected!r} only; use a server that knows vLLM's structured_outputs, {_WITHOUT}"
                )


def _extensions(generation: Generation) -> dict[str, Any]:
    return {
        **NO_DEFAULTS,
        "stop": list(generation.stop),
        "include_stop_str_in_output": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        **structured_outputs(generation.constraint),
    }
