"""Use case: how likely a model finds the continuations of a prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.account_generation import accounted
from modelmill_inference.admit_requests import EngineQueues
from modelmill_inference.domain.admission import AdmissionRequest
from modelmill_inference.domain.generation import ContinuationScore, plan_score
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.render_prompt import Prompt, encoded_texts, prompt_tokens
from modelmill_inference.resumed_answer import retried

MAX_CONTINUATIONS = 256


@dataclass(frozen=True, slots=True)
class ScoreCommand:
    """A request with its resolved version."""

    tenant: str
    version_id: str
    prompt: Prompt
    continuations: tuple[str, ...]
    deadline: float | None = None
    """On the event loop's clock."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores and usage."""

    version_id: str
    scores: tuple[ContinuationScore, ...]
    tokens: tuple[int, ...]
    """Tokens of each continuation."""
    prompt_tokens: int


class ScoreTexts:
    """Tokenizes prompt and continuations separately, as training does; sends one request."""

    def __init__(self, versions: VersionPool, admissions: EngineQueues) -> None:
        self._versions = versions
        self._admissions = admissions

    async def __call__(self, command: ScoreCommand) -> Scores:
        """One score per continuation, in order.

        Raises:
            NotFoundError, OverloadedError, TooLargeError, DeadlineError, UnavailableError,
                PreconditionError: as for `GenerateText`.
            InvalidInputError: the number of continuations is invalid, or one is empty or too long.
        """
        async with accounted("score", command.version_id) as account:
            command.prompt.check()
            _check(command.continuations)
            async with self._versions.lease(
                command.tenant, command.version_id, command.deadline
            ) as version:
                account.version_exists = True
                queue = self._admissions.of(version)
                queue.refuse_early(command.tenant, command.deadline)
                request = plan_score(
                    await prompt_tokens(command.prompt, version, command.tenant),
                    await encoded_texts(command.continuations, version, command.tenant),
                    version.limits,
                    version.engine.abilities,
                    tenant=command.tenant,
                )
                tokens = len(request.prompt) + sum(map(len, request.continuations))
                account.trace.start_phase("queue")
                async with queue.turn(
                    AdmissionRequest(command.tenant, tokens), command.deadline
                ) as turn:
                    account.begin(len(request.prompt))
                    scores = await retried(lambda: version.engine.score(request))
                    turn.ended = True
                account.finish_reason = "stop"
                return Scores(
                    version_id=version.version_id,
                    scores=tuple(scores),
                    tokens=tuple(map(len, request.continuations)),
                    prompt_tokens=len(request.prompt),
                )


def _check(continuations: Sequence[str]) -> None:
    if not 1 <= len(continuations) <= MAX_CONTINUATIONS:
        raise InvalidInputError(
            f"1 to {MAX_CONTINUATIONS} continuations are scored at a time, got {len(continuations)}"
        )
    empty = [number for number, text in enumerate(continuations) if not text]
    if empty:
        raise InvalidInputError([f"continuation {number} is empty" for number in empty])
