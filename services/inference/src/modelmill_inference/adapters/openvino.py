"""The openvino engine: OpenVINO GenAI's continuous batching, a process for each version."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill_inference.adapters.engine_process import EngineProcess, ProcessPlan
from modelmill_inference.children.openvino_abilities import EXACT, abilities_of
from modelmill_inference.domain.generation import Abilities

__all__ = ["EXACT", "OpenVinoKind", "PipelineOptions"]

NAME = "openvino"
MODULE = "modelmill_inference.children.openvino"


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How pipelines are set up; the same for every version."""

    device: str = "CPU"
    cache_gigabytes: int = 1
    """Room for keys and values of all sequences, taken as it is needed."""
    max_sequences: int = 64
    """Requests in one batch; more wait inside the engine."""
    prefix_cache: bool = True
    """One for each tenant; a pipeline has one set of weights, and one adapter or none."""
    threads: int = 0
    """0 takes all cores."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """OpenVINO properties, for example INFERENCE_PRECISION_HINT."""
    load_seconds: float = 300.0
    """A child that has not loaded by then is given up."""
    hang_seconds: float = 60.0
    """A child with requests in hand that says nothing for this long is replaced."""
    piece_seconds: float = 0.0
    """Of answers side by side, tokens are gathered for this long; see `children.runner`."""

    def load_message(self) -> dict[str, Any]:
        """What `children.openvino` is told, beside the folder."""
        threads = {"INFERENCE_NUM_THREADS": str(self.threads)} if self.threads else {}
        return {
            "device": self.device,
            "cache_gigabytes": self.cache_gigabytes,
            "max_sequences": self.max_sequences,
            "prefix_cache": self.prefix_cache,
            "properties": dict(self.properties) | threads,
        }


@dataclass(frozen=True, slots=True)
class OpenVinoKind:
    """Makes openvino engines."""

    options: PipelineOptions
    name: str = NAME

    def can_run(self, form: str) -> bool:
        """Its own forms: openvino-int8, openvino-int4 and so on."""
        return form.startswith("openvino-")

    def can_adapt(self, form: str) -> bool:
        """Adapters run upon all of its forms, in full precision beside the rounded weights."""
        return self.can_run(form)

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> EngineProcess:
        """An engine for the build in `folder`, with the adapter upon it."""
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
            piece_seconds=options.piece_seconds,
        )
        return EngineProcess(plan)
