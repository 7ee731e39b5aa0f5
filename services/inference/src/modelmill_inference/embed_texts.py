"""Use case: embed texts."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.account_generation import accounted
from modelmill_inference.admit_requests import EngineQueues
from modelmill_inference.domain.admission import AdmissionRequest
from modelmill_inference.domain.generation import EngineCannotError, check_tokens
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.render_prompt import encoded_texts
from modelmill_inference.resumed_answer import retried

MAX_TEXTS = 256


@dataclass(frozen=True, slots=True)
class EmbedCommand:
    """A request with its resolved version."""

    tenant: str
    version_id: str
    texts: tuple[str, ...]
    deadline: float | None = None
    """On the event loop's clock."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Embeddings and usage."""

    version_id: str
    vectors: tuple[tuple[float, ...], ...]
    """Normalised, in the order of the texts."""
    tokens: int
    """Total tokens of all texts."""


class EmbedTexts:
    """Tokenizes the texts, and sends one request to the engine."""

    def __init__(self, versions: VersionPool, admissions: EngineQueues) -> None:
        self._versions = versions
        self._admissions = admissions

    async def __call__(self, command: EmbedCommand) -> Vectors:
        """One vector per text, in order.

        Raises:
            NotFoundError, OverloadedError, TooLargeError, DeadlineError, UnavailableError,
                PreconditionError: as for `GenerateText`.
            InvalidInputError: the number of texts is invalid, or one is empty or too long.
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
                queue.refuse_early(command.tenant, command.deadline)
                encoded = await encoded_texts(command.texts, version, command.tenant)
                for tokens in encoded:
                    check_tokens(tokens, version.limits)
                total = sum(map(len, encoded))
                account.trace.start_phase("queue")
                async with queue.turn(
                    AdmissionRequest(command.tenant, total), command.deadline
                ) as turn:
                    account.begin(total)
                    vectors = await retried(lambda: version.engine.embed(encoded))
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
