"""The triton engine: a Triton server runs the model, and text is made here as for all engines."""

from dataclasses import dataclass
from pathlib import Path

from modelmill_inference.adapters.engine_process import EnginePeer, EngineProcess, ProcessPlan
from modelmill_inference.adapters.openvino import PipelineOptions
from modelmill_inference.adapters.triton_peer import TritonPeer
from modelmill_inference.adapters.triton_server import TritonAddress
from modelmill_inference.domain.generation import Abilities

__all__ = ["TritonAddress", "TritonKind"]

NAME = "triton"
RUNNER = "openvino"
"""Of those that the server's package can host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonPlan(ProcessPlan):
    """A plan whose peer is a model on a server."""

    address: TritonAddress

    async def start(self) -> EnginePeer:
        return await TritonPeer.start(self.address, RUNNER)


@dataclass(frozen=True, slots=True)
class TritonKind:
    """Makes triton engines; the server sees the models' folders under the same paths."""

    address: TritonAddress
    options: PipelineOptions
    forms: tuple[str, ...] = ("openvino-",)
    """Beginnings of the forms that go to the server."""
    name: str = NAME

    def can_run(self, form: str) -> bool:
        return form.startswith(self.forms)

    def can_adapt(self, form: str) -> bool:
        """As the openvino engine: its runner is what is hosted."""
        return self.can_run(form)

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> EngineProcess:
        """An engine for the build in `folder`; what it can do the server tells at the load."""
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
                # Tokens are gathered at the server, where each message costs more than here.
                piece_seconds=options.piece_seconds,
            )
        )
