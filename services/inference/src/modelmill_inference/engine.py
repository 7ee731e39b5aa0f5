"""The engine interface. One contract test suite covers every implementation."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Protocol

from modelmill_service_kit.errors import UnavailableError

from modelmill_inference.domain.generation import (
    Abilities,
    ContinuationScore,
    GenerationRequest,
    ScoreRequest,
    TokenPiece,
)


class EngineRestartingError(UnavailableError):
    """The engine process is restarting, without operator action.

    Args:
        died_under_it: the request was running when the process died, and may be the cause.
    """

    def __init__(self, *, died_under_it: bool = False) -> None:
        super().__init__("engine is restarting. Retry")
        self.died_under_it = died_under_it


class Engine(Protocol):
    """Runs one model, from token ids to token ids; decoding to text is shared by all engines."""

    @property
    def abilities(self) -> Abilities:
        """Supported features; final once `load` has returned."""

    async def load(self) -> None:
        """Load the model; return once requests are accepted. Called once.

        Raises:
            PreconditionError: the engine rejects the model; a retry will not help.
            UnavailableError: the engine could not be reached or did not load in time.
        """

    def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenPiece, None]:
        """Stream tokens; the last piece has a finish reason. Closing the generator frees the slot.

        Temperature 0 is greedy. The same seed gives the same tokens if nothing else runs, and
        always if the engine is exact. A grammar is enforced up to the end or the token limit.

        Raises:
            EngineRestartingError: the process died during the request, or is restarting.
            UnavailableError: the engine was closed.
            PreconditionError: the engine has no room for a request of this size.
        """

    async def score(self, request: ScoreRequest) -> list[ContinuationScore]:
        """Log-likelihood of each continuation, in order; the prompt is computed once.

        Raises:
            UnavailableError, PreconditionError: as of `generate`.
        """

    async def embed(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        """Embedding of each text: the mean of the last hidden states, normalised.

        Raises:
            UnavailableError, PreconditionError: as of `generate`.
        """

    def resident_bytes(self) -> int:
        """Resident memory, with a share of a shared server's; blocks for milliseconds."""

    async def until_broken(self) -> str:
        """Return the reason once the engine has failed permanently; only `close` may follow."""

    async def close(self) -> None:
        """Stop and free memory; running requests fail with UnavailableError."""


class EngineKind(Protocol):
    """Factory of engines of one kind."""

    @property
    def name(self) -> str:
        """For example "openvino"."""

    def can_run(self, form: str) -> bool:
        """Whether this kind runs artifacts of the form."""

    def can_adapt(self, form: str) -> bool:
        """Whether this kind runs adapters on a base of the form."""

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> Engine:
        """Create an engine for the model in `folder`; `end_tokens` end an answer.

        Args:
            adapter: folder of an adapter (`adapter_config.json`, `adapter_model.safetensors`) to
                apply; allowed if `can_adapt`.
        """
