"""Use case: get the ruling of one judge of a policy on one window of a text."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from modelmill_guard.judge import Judge, OnFailure, Opinion, Window
from modelmill_guard.judging import Ruling
from modelmill_service_kit.errors import UnavailableError

from modelmill_moderation.domain.no_opinion import NoOpinionError
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
