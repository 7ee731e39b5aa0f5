"""Inference's openvino engine under the use case that holds answers to a form; no sockets.

Argument: the build's folder. Question: {"prompts", "schemas", "in_flight", "max_new_tokens",
"temperature"}, a limit and a schema for each prompt, or no schemas. Answer: {"seconds", "tokens",
"texts", "reasons"}, but for the seconds a list.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from modelmill_inference.adapters.openvino import OpenVinoKind, PipelineOptions
from modelmill_inference.answer_writer import AnswerWriter
from modelmill_inference.constrained_answer import constrained_output, constrained_pieces
from modelmill_inference.domain.generation import ModelLimits, plan_generation
from modelmill_inference.domain.sampling import OutputConstraint, SamplingOptions
from modelmill_inference.load_version import LoadedVersion
from modelmill_testkit.in_process_tokenizers import InProcess
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from tests.bench.worker import answer_all

LIMITS = ModelLimits(context_tokens=2048, vocabulary=49152)


class HeldEngine:
    """One engine, asked as `GenerateText` asks it."""

    def __init__(self, folder: Path) -> None:
        self._runner = asyncio.Runner()
        tokenizer = ChatTokenizer.load(folder)
        engine = OpenVinoKind(PipelineOptions()).engine_for(folder, tokenizer.eos_ids)
        self._runner.run(engine.load())
        self._tokenizer, prompts = tokenizer, InProcess(tokenizer)
        self._version = LoadedVersion(
            "bench", "bench", "openvino", engine, tokenizer, prompts, LIMITS, 0.0
        )

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Every prompt once."""
        return self._runner.run(self._answer(asked))

    async def _answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        slots = asyncio.Semaphore(asked["in_flight"])
        schemas = asked["schemas"] or [None] * len(asked["prompts"])

        async def one(number: int) -> tuple[str, str, int]:
            async with slots:
                return await self._one(asked, number, schemas[number])

        started = time.perf_counter()
        answers = await asyncio.gather(*map(one, range(len(schemas))))
        return {
            "seconds": time.perf_counter() - started,
            "texts": [text for text, _, _ in answers],
            "reasons": [reason for _, reason, _ in answers],
            "tokens": [tokens for _, _, tokens in answers],
        }

    async def _one(
        self, asked: Mapping[str, Any], number: int, schema: str | None
    ) -> tuple[str, str, int]:
        version, constraint = self._version, schema and OutputConstraint("json_schema", schema)
        options = SamplingOptions(
            max_new_tokens=asked["max_new_tokens"][number],
            temperature=asked["temperature"],
            seed=number,
        )
        prompt = self._tokenizer.encode_prompt(
            [{"role": "user", "content": asked["prompts"][number]}]
        )
        form = await constrained_output(constraint, options.max_new_tokens) if constraint else None
        request = plan_generation(
            prompt,
            options,
            LIMITS,
            version.engine.abilities,
            random_seed=number,
            grammar=form.text if form else "",
        )
        writer, text, tokens, reason = AnswerWriter(version.tokenizer, ()), "", 0, ""
        async with aclosing(constrained_pieces(version, request, form)) as pieces:
            async for piece in pieces:
                written = writer.write(piece)
                text += written.text
                tokens += written.tokens
                reason = written.finish_reason or reason
        return text, reason, tokens


if __name__ == "__main__":
    answer_all(HeldEngine(Path(sys.argv[1])).answer)
