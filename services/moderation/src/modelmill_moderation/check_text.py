"""Use case: check one whole text."""

import hashlib
from dataclasses import replace
from functools import partial

from modelmill_audit.trail import TextJudged
from modelmill_guard.judged_text import judge_whole
from modelmill_guard.verdict import Direction, RuleMatch, Verdict
from modelmill_service_kit.work_apart import Rests, WorkApart

from modelmill_moderation.judging import (
    AsksJudges,
    AuditTrail,
    Policies,
    TenantRules,
    check_length,
    judges_of_policy,
)
from modelmill_moderation.metrics import CHECK_SECONDS


class CheckText:
    """Applies the policy that is in force when the call arrives."""

    def __init__(
        self, policies: Policies, ask: AsksJudges, audit: AuditTrail, work: WorkApart
    ) -> None:
        self._policies = policies
        self._ask = ask
        self._audit = audit
        self._work = work

    async def __call__(
        self, *, tenant: str, text: str, direction: Direction, each_rule_once: bool = False
    ) -> Verdict:
        """Return the verdict; its audit record is written in the background.

        Args:
            each_rule_once: Return only the first match of each rule, category and score.

        Raises:
            InvalidInputError: The text exceeds the policy's limit.
            PreconditionError: No valid policy is in force.
            UnavailableError: A judge gives no opinion and fails closed.
        """
        policy = self._policies.of(tenant)
        check_length(len(text), policy)
        run = TenantRules(tenant, self._work)
        shown = _each_rule_once if each_rule_once else _all
        with CHECK_SECONDS.time():
            if policy.compiled.judges(direction):
                ask = judges_of_policy(self._ask, policy)
                verdict = await judge_whole(policy.compiled, text, direction, ask, run)
                verdict = await run(partial(shown, verdict), len(text))
            else:
                check = partial(
                    policy.compiled.check, text, direction, each_rule_once=each_rule_once
                )
                verdict = await run(
                    lambda: shown(check()), len(text), lambda: shown(check(between=Rests()))
                )
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._audit.record(
            TextJudged.by(verdict, tenant=tenant, direction=direction, text_sha256=digest)
        )
        return verdict


def _all(verdict: Verdict) -> Verdict:
    return verdict


def _each_rule_once(verdict: Verdict) -> Verdict:
    first: dict[tuple[str, str, float | None], RuleMatch] = {}
    for match in verdict.matches:
        first.setdefault((match.rule_id, match.category, match.score), match)
    return replace(verdict, matches=tuple(first.values()))
