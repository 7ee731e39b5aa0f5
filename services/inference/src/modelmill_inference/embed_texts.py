"""Use case: a vector for each text."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.account_generation import accounted
from modelmill_inference.admit_requests import Admissions
from modelmill_inference.domain.admission import Ask
from modelmill_inference.domain.generation import EngineCannotError, check_tokens
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.render_prompt import encoded_texts
from modelmill_inference.resumed_answer import asked_again

MAX_TEXTS = 256


@dataclass(frozen=True, slots=True)
class EmbedCommand:
    """What a caller asks for."""

    tenant: str
    version_id: str
    texts: tuple[str, ...]
    deadline: float | None = None
    """By the event loop's clock."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """The answer."""

    version_id: str
    vectors: tuple[tuple[float, ...], ...]
    """Each of length 1, in the order of the texts."""
    tokens: int
    """Of all texts."""


class EmbedTexts:
    """Encodes the texts and asks the engine once."""

    def __init__(self, versions: VersionPool, admissions: Admissions) -> None:
        self._versions = versions
        self._admissions = admissions

    async def __call__(self, command: EmbedCommand) -> Vectors:
        """One vector for each text, in their order.

        Raises:
            NotFoundError, OverloadedError, TooLargeError, DeadlineError, UnavailableError,
                PreconditionError: as of generating.
            InvalidInputError: no text, an empty one, too many, or one that does not fit.
        """
        async with accounted("embeddings", command.version_id) as account:
            _check(command.texts)
            async with self._versions.lease(
                command.tenant, command.version_id, command.deadline
            ) as version:
                account.version_exists = True
                if not version.engine.abilities.embed:
                    raise EngineCannotError("the engine of this model makes no embeddings")
                queue = self._admissions.of(version)
                queue.foresee(command.tenant, command.deadline)
                encoded = await encoded_texts(command.texts, version, command.tenant)
                for tokens in encoded:
                    check_tokens(tokens, version.limits)
                total = sum(map(len, encoded))
                account.trace.start_phase("queue")
                async with queue.turn(Ask(command.tenant, total), command.deadline) as turn:
                    account.begin(total)
                    vectors = await asked_again(lambda: version.engine.embed(encoded))
                    turn.ended = True
                account.finish_reason = "stop"
                return Vectors(
                    version_id=version.version_id,
                    vectors=tuple(map(tuple, vectors)),
                    tokens=account.prompt_tokens,
                )


def _check(texts: Sequence[str]) -> None:
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise InvalidInputError(f"1 to {MAX_TEXTS} texts are embedded at a time, got {len(texts)}")
    empty = [number for number, text in enumerate(texts) if not text]
    if empty:
        raise InvalidInputError([f"text {number} is empty" for number in empty])
