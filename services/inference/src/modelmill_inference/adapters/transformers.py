"""The transformers engine: the reference that runs any architecture, a process for each version."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from modelmill_inference.adapters.engine_process import EngineProcess, ProcessPlan
from modelmill_inference.adapters.spare_child import SpareChild
from modelmill_inference.domain.generation import Abilities

NAME = "transformers"
MODULE = "modelmill_inference.children.transformers"
FORM = "safetensors"
NEEDS = ("torch", "transformers", "peft", "xgrammar")
"""What `modelmill-inference[transformers]` installs; the child alone imports it."""
HOW_TO_GET = "install modelmill-inference[transformers]"
MAX_ALTERNATIVES = 20

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


def is_installed() -> bool:
    """Whether the child would find its libraries."""
    return all(find_spec(name) is not None for name in NEEDS)


@dataclass(frozen=True, slots=True)
class TransformersOptions:
    """How models are run; the same for every version."""

    device: str = "auto"
    """A device of torch; auto is a GPU when there is one."""
    dtype: Dtype = "auto"
    """auto is float32 on a CPU and bfloat16 on a GPU."""
    threads: int = 0
    """0 leaves it to torch."""
    cache_bytes: int = 1 << 30
    """Keys and values of all requests together; requests that it has no room for wait."""
    load_seconds: float = 300.0
    """A child that has not loaded by then is given up."""
    hang_seconds: float = 60.0
    """A child with requests in hand that says nothing for this long is replaced."""
    piece_seconds: float = 0.0
    """Of answers side by side, tokens are gathered for this long; see `UpdateQueue`."""

    def load_message(self) -> Mapping[str, object]:
        """What `children.transformers` is told, beside the folders."""
        return {
            "device": self.device,
            "dtype": self.dtype,
            "threads": self.threads,
            "cache_bytes": self.cache_bytes,
        }


@dataclass(frozen=True, slots=True)
class TransformersKind:
    """Makes transformers engines."""

    options: TransformersOptions
    name: str = NAME
    spare: SpareChild | None = None
    """Its next child, with the libraries imported."""

    def can_run(self, form: str) -> bool:
        """Models as they are imported, or trained as a whole."""
        return form == FORM

    def can_adapt(self, form: str) -> bool:
        """Whether a LoRA adapter can be put upon a base of this form."""
        return form == FORM

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> EngineProcess:
        """An engine for the model in `folder`, with the adapter upon it if there is one."""
        options = self.options
        plan = ProcessPlan(
            name=self.name,
            module=MODULE,
            folder=folder,
            load=options.load_message(),
            adapter=adapter,
            abilities=Abilities(
                exact=True, logprobs=MAX_ALTERNATIVES, grammar=True, score=True, embed=True
            ),
            end_tokens=end_tokens,
            load_seconds=options.load_seconds,
            hang_seconds=options.hang_seconds,
            piece_seconds=options.piece_seconds,
            spare=self.spare,
        )
        return EngineProcess(plan)
