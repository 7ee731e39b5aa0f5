"""Use cases: get the ruling of one judge on one window of a text.

The text is one that this service checks, or one that another service streams.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from modelmill_guard.judge import Judge, OnFailure, Opinion, Window
from modelmill_guard.judging import CONTEXT_CHARACTERS, Ruling
from modelmill_guard.verdict import Direction
from modelmill_service_kit.errors import InvalidInputError, PreconditionError, UnavailableError

from modelmill_moderation.domain.judge_answers import NoOpinionError
from modelmill_moderation.domain.policies import PolicyJudges
from modelmill_moderation.metrics import JUDGE_FAILURES, JUDGE_SECONDS, JudgeKind

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
LOG_SECONDS = 1.0
"""Minimum interval between logged failures; a long text has hundreds of windows."""


class JudgesWindows(Protocol):
    """A kind of judge, such as classifiers."""

    async def opinions(self, judge: Judge, window: Window, *, tenant: str) -> Sequence[Opinion]:
        """Score of each category of the judge.

        Raises:
            NoOpinionError: There is no valid answer.
        """


class AskJudge:
    """Dispatches to models and services, and applies `on_failure` if they give no opinion."""

    def __init__(
        self,
        *,
        classifiers: JudgesWindows,
        services: JudgesWindows,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kinds: dict[JudgeKind, JudgesWindows] = {
            "classifier": classifiers,
            "service": services,
        }
        self._clock = clock
        self._log_from = clock()

    async def __call__(self, judge: Judge, window: Window, *, owner: str) -> Ruling:
        """Ruling of the judge on the window.

        Args:
            owner: Owner of the policy, whose alias is used. A tenant without its own policy cannot
            substitute a model for a judge of the shared one.

        Raises:
            UnavailableError: The judge gives no opinion and fails closed.
        """
        kind: JudgeKind = "service" if judge.classifier is None else "classifier"
        try:
            with JUDGE_SECONDS.labels(kind).time():
                opinions = await self._kinds[kind].opinions(judge, window, tenant=owner)
        except NoOpinionError as error:
            JUDGE_FAILURES.labels(kind, error.failure.value).inc()
            self._log(judge, owner, error)
            if judge.on_failure is OnFailure.OPEN:
                return Ruling((), answered=False)
            raise UnavailableError(
                f"the judge {judge.id} gives no opinion, so nothing passes",
                retry_after_seconds=max(RETRY_SECONDS, error.retry_after_seconds),
            ) from error
        return Ruling(judge.matches(window, opinions))

    def _log(self, judge: Judge, owner: str, error: NoOpinionError) -> None:
        now = self._clock()
        if now >= self._log_from:
            self._log_from = now + LOG_SECONDS
            log.warning("the judge %s of %s gives no opinion: %s", judge.id, owner, error)


PATIENCE_SECONDS = 2.0
"""The caller may learn of a new policy a moment before this replica."""


class KnownJudges(Protocol):
    """See `modelmill_moderation.domain.policies.PoliciesInForce`."""

    def judges_of(self, tenant: str, digest: str) -> PolicyJudges | None: ...

    def until_changed(self) -> asyncio.Event: ...


class JudgeWindow:
    """Uses the policy that the text began with, also if it was replaced since."""

    def __init__(
        self, policies: KnownJudges, ask: AskJudge, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._policies = policies
        self._ask = ask
        self._patience_seconds = patience_seconds

    async def __call__(
        self, *, tenant: str, digest: str, direction: Direction, judge_id: str, window: Window
    ) -> Ruling:
        """Ruling of the judge.

        Raises:
            PreconditionError: The policy was never in force here, or too long ago.
            InvalidInputError: The policy has no such judge, or the window has the wrong size.
            UnavailableError: The judge gives no opinion and fails closed.
        """
        judges = await self._judges(tenant, digest)
        judge = judges.of(direction).get(judge_id)
        if judge is None:
            raise InvalidInputError(f"the policy has no judge {judge_id!r} for {direction.value}")
        _check(judge, window)
        return await self._ask(judge, window, owner=judges.owner.of_judge(judge_id))

    async def _judges(self, tenant: str, digest: str) -> PolicyJudges:
        try:
            async with asyncio.timeout(self._patience_seconds):
                while (found := self._policies.judges_of(tenant, digest)) is None:
                    await self._policies.until_changed().wait()
                return found
        except TimeoutError:
            raise PreconditionError(
                "the policy that the text began with is not known here, so nothing passes"
            ) from None


def _check(judge: Judge, window: Window) -> None:
    errors = []
    if not 1 <= len(window.text) <= judge.window:
        errors.append(f"the judge reads windows of 1 to {judge.window} characters")
    if len(window.context) > min(CONTEXT_CHARACTERS, window.start):
        errors.append("the context is longer than what may stand before the window")
    if errors:
        raise InvalidInputError(errors)
