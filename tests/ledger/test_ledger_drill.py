"""The drill in short, and what its oracle finds in a run that is made up."""

from dataclasses import replace
from pathlib import Path

import pytest
from gateway.domain.ledger.amounts import Amounts, Limits
from gateway.domain.ledger.budget import Budget, Lease
from gateway.domain.ledger.names import tenant_budget

from tests.ledger.callers import Asked
from tests.ledger.counting_inference import PROMPT_TOKENS, Generated
from tests.ledger.drill import drill
from tests.ledger.oracle import Findings, findings, wrongs

BUDGET = Budget(tenant_budget("one"), "one", Limits(tokens=100), spent_tokens=PROMPT_TOKENS + 2)


@pytest.mark.timeout(240)
async def test_no_limit_is_exceeded_while_replicas_are_killed(tmp_path: Path):
    run = await drill(tmp_path, streams=24, calm_seconds=3, kill_seconds=8, seed=1)

    assert run.kills > 0
    assert run.total("cut") > 0
    wrong = {tenant: wrongs(each) for tenant, each in run.tenants.items()}
    assert not any(wrong.values()), wrong


def asked(name: str, sent: float, *, bound: int, status: int, code: str = "") -> Asked:
    return Asked(
        *(name, "one", bound, PROMPT_TOKENS, "a", sent),
        **{"answered": sent + 0.1, "ended": sent + 1, "status": status, "code": code},
        whole=status == 200,
    )


def judged(requests: list[Asked], *records: Budget) -> Findings:
    calls = {
        each.name: Generated(each.name, each.sent + 0.05, 2, each.ended, whole=True)
        for each in requests
        if each.status == 200
    }
    told = [(float(number), budget) for number, budget in enumerate(records or (BUDGET,))]
    return findings("one", requests, calls, told, {"a": []})


def test_a_run_in_which_all_is_right_has_nothing_wrong():
    first = asked("first", 1.0, bound=60, status=200)
    refused = asked("second", 1.5, bound=60, status=429, code="insufficient_quota")

    assert wrongs(judged([first, refused])) == []


def test_a_refusal_of_what_always_fitted_is_found():
    first = asked("first", 1.0, bound=60, status=200)
    refused = asked("second", 3.0, bound=60, status=429, code="insufficient_quota")

    assert wrongs(judged([first, refused])) == ["false_refusals: 1"]


def test_two_that_held_more_than_the_limit_are_found():
    spent = replace(BUDGET, spent_tokens=2 * (PROMPT_TOKENS + 2))
    both = [asked(name, 1.0, bound=60, status=200) for name in ("first", "second")]

    assert wrongs(judged(both, spent)) == ["overshoot_in_truth: 20"]


def test_a_record_in_which_too_much_is_leased_is_found_and_so_is_a_leak():
    first = asked("first", 1.0, bound=60, status=200)
    leases = tuple(Lease(name, leased=Amounts(tokens=50)) for name in ("a", "b"))

    assert wrongs(judged([first], replace(BUDGET, leases=leases))) == [
        "overshoot: 10",
        "leaked: 100",
    ]


@pytest.mark.parametrize("spent", [PROMPT_TOKENS + 1, 2 * (PROMPT_TOKENS + 2)])
def test_what_was_settled_twice_or_not_at_all_is_found(spent: int):
    first = asked("first", 1.0, bound=60, status=200)

    (wrong,) = wrongs(judged([first], replace(BUDGET, spent_tokens=spent)))
    assert f"{spent} settled" in wrong


def test_who_was_cut_before_inference_heard_of_it_may_have_held_its_place():
    cut = asked("first", 1.0, bound=60, status=0)
    refused = asked("second", 1.5, bound=60, status=429, code="insufficient_quota")
    unspent = replace(BUDGET, spent_tokens=0)

    assert wrongs(judged([cut, refused], unspent)) == []
    late = replace(refused, sent=cut.ended + 1, answered=cut.ended + 1.1)
    assert wrongs(judged([cut, late], unspent)) == ["false_refusals: 1"]
