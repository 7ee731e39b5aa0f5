"""What is counted of verdicts: by rule, category and tenant, in bounded memory."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from modelmill_audit.trail import (
    AUDIT_DROPPED,
    MAX_RULES,
    MAX_TENANTS,
    RULE_MATCHES,
    AuditTrail,
    FirstNames,
    TextJudged,
)
from modelmill_guard.verdict import Action, Direction, RuleMatch, Verdict


def judged(tenant: str, *rules: str) -> TextJudged:
    matches = tuple(
        RuleMatch(rule, "pii", Action.FLAG, at, at + 1) for at, rule in enumerate(rules)
    )
    verdict = Verdict(Action.FLAG, matches, "x", "sha256:x")
    return TextJudged.by(verdict, tenant=tenant, direction=Direction.INPUT, text_sha256="00")


def series() -> dict[tuple[str, str, str], float]:
    return {
        (s.labels["rule"], s.labels["category"], s.labels["tenant"]): s.value
        for metric in RULE_MATCHES.collect()
        for s in metric.samples
        if s.name.endswith("_total")
    }


def audit() -> AuditTrail:
    bus: Any = None
    return AuditTrail(bus, "tests", size=1)


def test_a_rule_is_counted_once_a_text_under_its_tenant() -> None:
    RULE_MATCHES.clear()
    queue = audit()
    queue.record(judged("acme", "mail", "mail", "phone"))
    queue.record(judged("acme", "mail"))
    assert series() == {("mail", "pii", "acme"): 2, ("phone", "pii", "acme"): 1}


def test_the_number_of_series_is_bounded_whatever_tenants_do() -> None:
    RULE_MATCHES.clear()
    queue = audit()
    for number in range(MAX_TENANTS + 7):
        queue.record(judged(f"tenant-{number}", "mail"))
    assert series()["mail", "pii", "other"] == 7
    for number in range(MAX_RULES + 7):
        queue.record(judged("tenant-0", f"rule-{number}"))
    assert series()["other", "other", "tenant-0"] == 8
    assert len(series()) <= (MAX_RULES + 1) * (MAX_TENANTS + 1)


@given(st.lists(st.text(max_size=3)), st.integers(0, 5))
def test_a_name_keeps_its_label_and_there_are_no_more_than_the_limit(
    names: list[str], limit: int
) -> None:
    label = FirstNames(limit)
    given_labels = [label(name) for name in names]
    assert [label(name) for name in names] == given_labels or limit == 0
    shown = {name for name, said in zip(names, given_labels, strict=True) if said == name}
    assert len(shown - {"other"}) <= limit


def lost() -> float:
    (metric,) = AUDIT_DROPPED.collect()
    return next(s.value for s in metric.samples if s.name.endswith("_total"))


def test_a_full_queue_drops_and_counts_and_never_waits() -> None:
    class NoBus:
        async def publish(self, *_: object, **__: object) -> int:
            raise AssertionError("nothing runs the queue in this test")

    queue = AuditTrail(NoBus(), "tests", size=2)
    dropped = lost()

    for _ in range(5):
        queue.record(judged("acme", "mail"))

    assert lost() - dropped == 3
