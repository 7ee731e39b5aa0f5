"""Use case: get a judge's ruling on a window of a text that another service streams."""

import asyncio
from typing import Protocol

from modelmill_guard.judge import Judge, Window
from modelmill_guard.judging import Ruling
from modelmill_guard.verdict import Direction
from modelmill_guard.windows import CONTEXT_CHARACTERS
from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from modelmill_moderation.ask_judge import AskJudge
from modelmill_moderation.domain.policies import PolicyJudges

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
