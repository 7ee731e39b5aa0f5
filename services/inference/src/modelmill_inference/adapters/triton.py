"""The triton engine: a Triton server runs the model."""

from dataclasses import dataclass
from pathlib import Path

from modelmill_inference.adapters.engine_process import EnginePeer, EngineProcess, ProcessPlan
from modelmill_inference.adapters.openvino import SCALED_FORMS, PipelineOptions
from modelmill_inference.adapters.triton_peer import TritonPeer
from modelmill_inference.adapters.triton_server import TritonAddress
from modelmill_inference.domain.generation import Abilities

__all__ = ["TritonAddress", "TritonKind"]

NAME = "triton"
RUNNER = "openvino"
"""Runner in the server's package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonPlan(ProcessPlan):
    """A plan whose peer is a model on a Triton server."""

    address: TritonAddress

    async def start(self) -> EnginePeer:
        return await TritonPeer.start(self.address, RUNNER)


@dataclass(frozen=True, slots=True)
class TritonKind:
    """Factory of triton engines; the server must see model folders at the same paths."""

    address: TritonAddress
    options: PipelineOptions
    forms: tuple[str, ...] = ("openvino-",)
    """Prefixes of the forms that run on the server."""
    name: str = NAME

    def can_run(self, form: str) -> bool:
        return form.startswith(self.forms)

    def can_adapt(self, form: str) -> bool:
        """As the openvino engine, whose runner the server hosts."""
        return self.can_run(form) and form not in SCALED_FORMS

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> EngineProcess:
        """An engine for the build in `folder`; the server reports its features at load."""
        options = self.options
        return EngineProcess(
            TritonPlan(
                address=self.address,
                name=self.name,
                module="",
                folder=folder.resolve(),
                adapter=None if adapter is None else adapter.resolve(),
                load=options.load_message(),
                abilities=Abilities(),
                end_tokens=end_tokens,
                load_seconds=options.load_seconds,
                hang_seconds=options.hang_seconds,
                max_failures=options.max_failures,
                # The server batches tokens, where a message costs more than here.
                piece_seconds=options.piece_seconds,
            )
        )
