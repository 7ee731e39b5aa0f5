"""The openvino engine: continuous batching of OpenVINO GenAI, one process per version."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill_inference.adapters.engine_process import EngineProcess, ProcessPlan
from modelmill_inference.adapters.restart_backoff import MAX_FAILURES
from modelmill_inference.children.openvino_abilities import EXACT, abilities_of
from modelmill_inference.domain.generation import Abilities

__all__ = ["EXACT", "OpenVinoKind", "PipelineOptions"]

NAME = "openvino"
MODULE = "modelmill_inference.children.openvino"
SCALED_FORMS = ("openvino-int4",)
"""Calibration (AWQ) scales the outputs of some layers, and the weights of those that read them
inversely. What an adapter adds beside either would be wrong by that scale."""


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Options of all pipelines."""

    device: str = "CPU"
    cache_gigabytes: int = 1
    """Key-value cache of all sequences, allocated on demand."""
    max_sequences: int = 64
    """Maximum batch size; further requests wait in the engine."""
    prefix_cache: bool = True
    """Prefix cache, separate per tenant; a pipeline has at most one adapter."""
    threads: int = 0
    """0 for all cores."""
    prompt_lookup: bool = True
    """Whether versions draft whose generation config says so; costs their weights once more."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """OpenVINO properties, for example INFERENCE_PRECISION_HINT."""
    load_seconds: float = 300.0
    """Load timeout."""
    hang_seconds: float = 60.0
    """A child with running requests that is silent for this long is replaced."""
    max_failures: int = MAX_FAILURES
    """Consecutive failures without an answer, after which an engine is given up."""
    piece_seconds: float = 0.0
    """Batching interval of tokens; see `children.runner.UpdateBatcher`."""

    def load_message(self) -> dict[str, Any]:
        """Load message of `children.openvino`, without the folder."""
        threads = {"INFERENCE_NUM_THREADS": str(self.threads)} if self.threads else {}
        return {
            "device": self.device,
            "cache_gigabytes": self.cache_gigabytes,
            "max_sequences": self.max_sequences,
            "prefix_cache": self.prefix_cache,
            "prompt_lookup": self.prompt_lookup,
            "properties": dict(self.properties) | threads,
        }


@dataclass(frozen=True, slots=True)
class OpenVinoKind:
    """Factory of openvino engines."""

    options: PipelineOptions
    name: str = NAME

    def can_run(self, form: str) -> bool:
        """Forms openvino-int8, openvino-int4 and so on."""
        return form.startswith("openvino-")

    def can_adapt(self, form: str) -> bool:
        """Adapters run in full precision beside quantized weights, but for calibrated ones."""
        return self.can_run(form) and form not in SCALED_FORMS

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> EngineProcess:
        """An engine for the build in `folder`, with the adapter applied."""
        options = self.options
        plan = ProcessPlan(
            name=self.name,
            module=MODULE,
            folder=folder,
            adapter=adapter,
            load=options.load_message(),
            abilities=Abilities(**abilities_of(options.load_message())),
            end_tokens=end_tokens,
            load_seconds=options.load_seconds,
            hang_seconds=options.hang_seconds,
            max_failures=options.max_failures,
            piece_seconds=options.piece_seconds,
        )
        return EngineProcess(plan)
