"""The transformers engine: the reference for any architecture, one process per version."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelmill_inference.adapters.engine_process import (
    EngineProcess,
    ProcessPlan,
    RoundRobinOptions,
    are_installed,
)
from modelmill_inference.adapters.spare_child import SpareChild
from modelmill_inference.domain.generation import Abilities

NAME = "transformers"
MODULE = "modelmill_inference.children.transformers"
FORM = "safetensors"
NEEDS = ("torch", "transformers", "peft", "xgrammar")
"""Packages of `modelmill-inference[transformers]`, imported by the child only."""
HOW_TO_GET = "install modelmill-inference[transformers]"
MAX_ALTERNATIVES = 20

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


def is_installed() -> bool:
    """Whether the child's libraries are installed."""
    return are_installed(NEEDS)


@dataclass(frozen=True, slots=True)
class TransformersOptions(RoundRobinOptions):
    """Options of all models."""

    device: str = "auto"
    """torch device; auto is a GPU if there is one."""
    dtype: Dtype = "auto"
    """auto is float32 on a CPU and bfloat16 on a GPU."""

    def load_message(self) -> Mapping[str, object]:
        """Load message of `children.transformers`, without the folders."""
        return {
            "device": self.device,
            "dtype": self.dtype,
            "threads": self.threads,
            "cache_bytes": self.cache_bytes,
        }


@dataclass(frozen=True, slots=True)
class TransformersKind:
    """Factory of transformers engines."""

    options: TransformersOptions
    name: str = NAME
    spare: SpareChild | None = None
    """Pre-warmed child process."""

    def can_run(self, form: str) -> bool:
        """Imported and fully trained models."""
        return form == FORM

    def can_adapt(self, form: str) -> bool:
        """Adapters run on any base that this engine runs."""
        return form == FORM

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> EngineProcess:
        """An engine for the model in `folder`, with the adapter applied, if any."""
        options = self.options
        plan = ProcessPlan(
            name=self.name,
            module=MODULE,
            folder=folder,
            load=options.load_message(),
            adapter=adapter,
            abilities=Abilities(
                exact=True,
                logprobs=MAX_ALTERNATIVES,
                grammar=True,
                score=True,
                embed=True,
                batches=False,
            ),
            end_tokens=end_tokens,
            load_seconds=options.load_seconds,
            hang_seconds=options.hang_seconds,
            piece_seconds=options.piece_seconds,
            spare=self.spare,
        )
        return EngineProcess(plan)
