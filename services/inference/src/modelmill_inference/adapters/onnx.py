"""The onnx engine: ONNX Runtime GenAI on the CPU, one process per version."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelmill_inference.adapters.engine_process import (
    EngineProcess,
    ProcessPlan,
    RoundRobinOptions,
    are_installed,
)
from modelmill_inference.domain.generation import Abilities
from modelmill_inference.domain.sampling import MAX_ALTERNATIVES

NAME = "onnx"
MODULE = "modelmill_inference.children.onnx"
FORMS = ("onnx-fp32", "onnx-int8", "onnx-int4")
NEEDS = ("onnxruntime_genai",)
"""Package of `modelmill-inference[onnx]`, imported by the child only."""
GRAMMAR_NEEDS = ("torch", "transformers", "xgrammar")
"""Packages of `modelmill-inference[transformers]` without which no answer is constrained."""
HOW_TO_GET = "install modelmill-inference[onnx]"


def is_installed() -> bool:
    """Whether the child's libraries are installed."""
    return are_installed(NEEDS)


@dataclass(frozen=True, slots=True)
class OnnxOptions(RoundRobinOptions):
    """Options of all models."""

    def load_message(self) -> Mapping[str, object]:
        """Load message of `children.onnx`, without the folders."""
        return {"threads": self.threads, "cache_bytes": self.cache_bytes}


@dataclass(frozen=True, slots=True)
class OnnxKind:
    """Factory of onnx engines."""

    options: OnnxOptions
    name: str = NAME

    def can_run(self, form: str) -> bool:
        """Forms onnx-fp32, onnx-int8 and onnx-int4."""
        return form in FORMS

    def can_adapt(self, form: str) -> bool:
        """No form: GenAI's adapters must be known when the model is built."""
        return False

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> EngineProcess:
        """An engine for the build in `folder`."""
        options = self.options
        plan = ProcessPlan(
            name=self.name,
            module=MODULE,
            folder=folder,
            adapter=adapter,
            load=options.load_message(),
            abilities=Abilities(
                exact=True,
                logprobs=MAX_ALTERNATIVES,
                grammar=are_installed(GRAMMAR_NEEDS),
                score=True,
                embed=True,
                batches=False,
            ),
            end_tokens=end_tokens,
            load_seconds=options.load_seconds,
            hang_seconds=options.hang_seconds,
            piece_seconds=options.piece_seconds,
        )
        return EngineProcess(plan)
