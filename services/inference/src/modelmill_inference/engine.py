"""The interface of engines: what each of them does. One contract suite holds them all to it."""

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
    """The engine is being started again; it comes back by itself.

    Args:
        died_under_it: the request was in its hands when it died, and may be the reason.
    """

    def __init__(self, *, died_under_it: bool = False) -> None:
        super().__init__("engine is restarting. Retry")
        self.died_under_it = died_under_it


class Engine(Protocol):
    """Runs one model, from token ids to token ids. Text is made outside, by one rule for all."""

    @property
    def abilities(self) -> Abilities:
        """What it can do; settled once it is loaded."""

    async def load(self) -> None:
        """Return once requests can be taken. Called once.

        Raises:
            PreconditionError: the engine refuses the model; trying again will not help.
            UnavailableError: the engine could not be reached or did not load in time.
        """

    def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenPiece, None]:
        """Tokens as they come, the last piece with a finish reason. Closing it frees the slot.

        Temperature 0 is greedy; the same seed gives the same tokens when nothing else runs beside
        it, and always where the engine is exact. A grammar holds to the end, unless the limit
        comes first.

        Raises:
            EngineRestartingError: the engine died under the request, or is being restarted.
            UnavailableError: it was closed.
            PreconditionError: the engine has no room for a request of this size.
        """

    async def score(self, request: ScoreRequest) -> list[ContinuationScore]:
        """How likely each continuation is, in their order; the prompt is computed once.

        Raises:
            UnavailableError, PreconditionError: as of `generate`.
        """

    async def embed(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        """For each text the mean of its tokens' last hidden states, scaled to length 1.

        Raises:
            UnavailableError, PreconditionError: as of `generate`.
        """

    def resident_bytes(self) -> int:
        """Memory that it holds now, its share of what it shares; blocks for milliseconds."""

    async def until_broken(self) -> str:
        """Return when the engine has given up for good, and why; it is then only to be closed."""

    async def close(self) -> None:
        """End it and free its memory; whatever still runs fails with UnavailableError."""


class EngineKind(Protocol):
    """Makes engines of one kind."""

    @property
    def name(self) -> str:
        """For example "openvino"."""

    def can_run(self, form: str) -> bool:
        """Whether artifacts of this form are for this kind."""

    def can_adapt(self, form: str) -> bool:
        """Whether it can run adapters upon a base of this form."""

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> Engine:
        """An engine for the model in `folder`, not yet loaded; `end_tokens` end an answer.

        Args:
            adapter: folder of an adapter (`adapter_config.json`, `adapter_model.safetensors`) to
                run upon the model, when `can_adapt` its form.
        """
