"""Ask the judges of a policy about windows of an answer; what no opinion means is theirs to say."""

import logging
from dataclasses import replace

from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.judge import Judge, OnFailure, Window
from modelmill_guard.judging import AsksJudge, Ruling
from modelmill_service_kit.errors import UnavailableError

from modelmill_gateway.domain.deadline import Deadline
from modelmill_gateway.metrics import UNJUDGED_WINDOWS
from modelmill_gateway.ports import Moderation

log = logging.getLogger(__name__)

JUDGE_SECONDS = 5.0
"""An opinion that takes longer is none."""


class AskJudges:
    """Moderation's judges, by the policy that an answer began with."""

    def __init__(self, moderation: Moderation) -> None:
        self._moderation = moderation

    def of(self, policy: CompiledPolicy, tenant: str, deadline: Deadline) -> AsksJudge:
        """How the judges of one answer are asked.

        It raises `UnavailableError` where a judge gives no opinion and nothing passes without it,
        and `DeadlineError` when the request's time is over.
        """

        async def ask(judge: Judge, window: Window) -> Ruling:
            timeout = deadline.remaining(at_most=JUDGE_SECONDS)
            try:
                ruling = await self._moderation.judge_window(
                    judge.id, window, tenant=tenant, policy_digest=policy.digest, timeout=timeout
                )
            except UnavailableError as error:
                if judge.on_failure is OnFailure.CLOSED:
                    raise
                log.warning("a window passes without judge %s: %s", judge.id, error)
                ruling = Ruling((), answered=False)
            if not ruling.answered:
                UNJUDGED_WINDOWS.inc()
            # The caller may want a stop where the policy flags: `policy` is the one that counts.
            matches = (replace(match, action=judge.action) for match in ruling.matches)
            return Ruling(tuple(matches), ruling.answered)

        return ask
