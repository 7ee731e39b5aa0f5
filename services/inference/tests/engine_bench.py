"""An engine under the contract, and short ways to use it."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_inference.adapters.onnx import OnnxKind, OnnxOptions
from modelmill_inference.adapters.openvino import EXACT, OpenVinoKind, PipelineOptions
from modelmill_inference.adapters.transformers import TransformersKind, TransformersOptions
from modelmill_inference.adapters.triton import TritonAddress, TritonKind
from modelmill_inference.adapters.vllm import VllmKind
from modelmill_inference.adapters.vllm_server import VllmOptions
from modelmill_inference.answer_writer import AnswerWriter, WrittenPiece
from modelmill_inference.domain.generation import (
    ContinuationScore,
    GenerationRequest,
    ModelLimits,
    plan_generation,
    plan_score,
)
from modelmill_inference.domain.sampling import SamplingOptions
from modelmill_inference.engine import Engine, EngineKind
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .fakes import FakeKind

LIMITS = ModelLimits(context_tokens=512, vocabulary=384)
CANNOT = "cannot"
"""Property of a test's report: the engine lacks the ability that the case is about."""
PROMPTS = [f"the kind of animal number {number}, 价格 {number * 37}" for number in range(8)]


class Bench:
    """An engine and its tokenizer; texts in, texts out."""

    def __init__(self, engine: Engine, tokenizer: ChatTokenizer) -> None:
        self.engine = engine
        self.tokenizer = tokenizer

    def plan(self, prompt: str, *, grammar: str = "", **options: Any) -> GenerationRequest:
        """The checked request; 24 tokens at most unless said otherwise."""
        wanted = SamplingOptions(**({"max_new_tokens": 24} | options))
        ids = self.tokenizer.encode(prompt)
        return plan_generation(
            ids, wanted, LIMITS, self.engine.abilities, random_seed=1, grammar=grammar
        )

    async def pieces(self, prompt: str, **options: Any) -> list[WrittenPiece]:
        """What a caller would be told; ends at a stop text as a use case does."""
        writer = AnswerWriter(self.tokenizer, options.get("stop", ()))
        told = []
        async with aclosing(self.engine.generate(self.plan(prompt, **options))) as pieces:
            async for piece in pieces:
                told.append(writer.write(piece))
                if told[-1].finish_reason:
                    break
        return told

    async def text(self, prompt: str, **options: Any) -> str:
        """The whole answer."""
        return "".join(piece.text for piece in await self.pieces(prompt, **options))

    async def tokens(self, prompt: str, **options: Any) -> list[int]:
        """The whole answer's ids."""
        async with aclosing(self.engine.generate(self.plan(prompt, **options))) as pieces:
            return [token async for piece in pieces for token in piece.tokens]

    async def scores(self, prompt: str, *continuations: str) -> list[ContinuationScore]:
        """One for each continuation."""
        ids = [self.tokenizer.encode(text) for text in continuations]
        request = plan_score(self.tokenizer.encode(prompt), ids, LIMITS, self.engine.abilities)
        return await self.engine.score(request)

    async def vectors(self, *texts: str) -> list[list[float]]:
        """One for each text."""
        return await self.engine.embed([self.tokenizer.encode(text) for text in texts])


@dataclass(frozen=True)
class EngineUnderTest:
    """How to make an engine for the tiny model."""

    kind: Callable[[], EngineKind]
    folder: str
    """Fixture that has the model's folder in the form that the engine takes; empty for none."""


ELSEWHERE = ("triton", "vllm")
"""Engines that need a server which their own targets start."""
ENGINES = {
    "fake": EngineUnderTest(FakeKind, ""),
    "openvino": EngineUnderTest(
        lambda: OpenVinoKind(PipelineOptions(properties=EXACT, piece_seconds=0.02)),
        "openvino_folder",
    ),
    "openvino-int4": EngineUnderTest(
        lambda: OpenVinoKind(PipelineOptions(properties=EXACT, piece_seconds=0.02)),
        "openvino_int4_folder",
    ),
    "openvino-lookup": EngineUnderTest(
        lambda: OpenVinoKind(PipelineOptions(properties=EXACT, piece_seconds=0.02)),
        "lookup_folder",
    ),
    # At the server that `make triton-test` has started.
    "triton": EngineUnderTest(
        lambda: TritonKind(
            TritonAddress(os.environ["TRITON_URL"], os.environ["TRITON_TOKEN"]),
            PipelineOptions(properties=EXACT, piece_seconds=0.02),
        ),
        "openvino_folder",
    ),
    # Of `make vllm-test`; in bf16 the tiny model's likeliest tokens would be a draw.
    "vllm": EngineUnderTest(
        lambda: VllmKind(
            VllmOptions(command=os.environ["VLLM_COMMAND"] + " --dtype float32 --enforce-eager")
        ),
        "wide_llama_folder",
    ),
    "onnx": EngineUnderTest(
        lambda: OnnxKind(OnnxOptions(threads=1, piece_seconds=0.02)), "onnx_folder"
    ),
    "transformers": EngineUnderTest(
        lambda: TransformersKind(TransformersOptions(threads=1, piece_seconds=0.02)), "llama_folder"
    ),
}


def engines_to_test() -> list[str]:
    """All that need nothing but this environment; CONTRACT_ENGINES names others, comma between.

    Raises:
        LookupError: An engine has no row here.
    """
    asked = os.environ.get("CONTRACT_ENGINES", "")
    chosen = asked.split(",") if asked else [name for name in ENGINES if name not in ELSEWHERE]
    if unknown := {*chosen} - {*ENGINES}:
        raise LookupError(f"{unknown}: add a row to ENGINES of {__file__}")
    return chosen


@asynccontextmanager
async def open_bench(name: str, folder: Path, tokenizer: ChatTokenizer) -> AsyncIterator[Bench]:
    """The engine, loaded, until the block ends."""
    engine = ENGINES[name].kind().engine_for(folder, tokenizer.eos_ids)
    await engine.load()
    try:
        yield Bench(engine, tokenizer)
    finally:
        await engine.close()
