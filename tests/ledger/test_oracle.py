"""What the drill's oracle finds in runs that are made up."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from modelmill_gateway.domain.ledger.budget import (
    MINUTE_MS,
    Amounts,
    Budget,
    Lease,
    Limits,
    Settled,
    tenant_budget,
)

from tests.ledger.callers import Asked
from tests.ledger.counting_inference import PROMPT_TOKENS, Generated
from tests.ledger.oracle import PRICE, Findings, findings, wrongs

GENERATED = 2
USED = PROMPT_TOKENS + GENERATED
BUDGET = Budget(tenant_budget("one"), "one", Limits(tokens=100), spent_tokens=USED)


def asked(name: str, sent: float, *, bound: int = 60, status: int = 200, code: str = "") -> Asked:
    return Asked(
        *(name, (BUDGET.budget_id,), bound, PROMPT_TOKENS, "a", sent),
        **{"answered": sent + 0.1, "ended": sent + 1, "status": status, "code": code},
        whole=status == 200,
    )


def judged(requests: Sequence[Asked], *records: Budget, money: int | None = None) -> Findings:
    """Of requests that generated as much; a record a second, its money right if not given."""
    whole = [each for each in requests if each.status == 200]
    calls = {
        each.name: Generated(each.name, each.sent + 0.05, GENERATED, each.ended, whole=True)
        for each in whole
    }
    paid = len(whole) * PRICE.cost(PROMPT_TOKENS, GENERATED) if money is None else money
    told = [
        (float(number), replace(budget, spent_micros=paid))
        for number, budget in enumerate(records or (BUDGET,))
    ]
    clock = lambda at: round(at * 1000)  # noqa: E731
    (found,) = findings([BUDGET.budget_id], requests, calls, told, {"a": []}, clock).values()
    return found


def test_a_run_in_which_all_is_right_has_nothing_wrong():
    first = asked("first", 1.0, bound=60, status=200)
    refused = asked("second", 1.5, bound=60, status=429, code="insufficient_quota")

    assert wrongs(judged([first, refused])) == []


def test_a_refusal_of_what_always_fitted_is_found():
    first = asked("first", 1.0, bound=60, status=200)
    refused = asked("second", 3.0, bound=60, status=429, code="insufficient_quota")

    assert wrongs(judged([first, refused])) == ["false_refusals: 1"]


def test_two_that_held_more_than_the_limit_are_found():
    spent = replace(BUDGET, spent_tokens=2 * USED)
    both = [asked(name, 1.0, bound=60, status=200) for name in ("first", "second")]

    assert wrongs(judged(both, spent)) == ["overshoot_in_truth: 20"]


def test_a_record_in_which_too_much_is_leased_is_found_and_so_is_a_leak():
    first = asked("first", 1.0, bound=60, status=200)
    leases = tuple(Lease(name, leased=Amounts(tokens=50)) for name in ("a", "b"))

    assert wrongs(judged([first], replace(BUDGET, leases=leases))) == [
        "overshoot: 10",
        "leaked: 100",
    ]


@pytest.mark.parametrize("spent", [PROMPT_TOKENS + 1, 2 * USED])
def test_what_was_settled_twice_or_not_at_all_is_found(spent: int):
    first = asked("first", 1.0, bound=60, status=200)

    (wrong,) = wrongs(judged([first], replace(BUDGET, spent_tokens=spent)))
    assert f"{spent} settled" in wrong


@pytest.mark.parametrize(("written", "is_false"), [(1.4, False), (1.8, True)])
def test_what_a_closed_lease_is_charged_counts_from_its_writing_on_however_late_it_was_heard_of(
    written: float, *, is_false: bool
):
    closed = replace(
        BUDGET,
        leases=(Lease("b", leased=Amounts(tokens=80), closed=True),),
        faded_at_ms=written * 1000,
    )
    refused = asked("second", 1.5, status=429, code="insufficient_quota")
    # It is heard of after three seconds.
    found = judged([refused], *[replace(BUDGET, spent_tokens=0)] * 3, closed)

    assert found.false_refusals == is_false


def test_money_that_was_settled_twice_is_found():
    first = asked("first", 1.0)
    twice = 2 * PRICE.cost(PROMPT_TOKENS, GENERATED)

    (wrong,) = wrongs(judged([first], money=twice))
    assert f"{twice} millionths settled" in wrong


def test_who_was_cut_before_inference_heard_of_it_may_have_held_its_place():
    cut = asked("first", 1.0, bound=60, status=0)
    refused = asked("second", 1.5, bound=60, status=429, code="insufficient_quota")
    unspent = replace(BUDGET, spent_tokens=0)

    assert wrongs(judged([cut, refused], unspent)) == []
    late = replace(refused, sent=cut.ended + 1, answered=cut.ended + 1.1)
    assert wrongs(judged([cut, late], unspent)) == ["false_refusals: 1"]


def test_who_was_cut_before_inference_heard_of_it_may_have_been_charged_its_prompt_and_no_more():
    cut = asked("first", 1.0, status=0)
    prices = PRICE.cost(PROMPT_TOKENS, 0)

    charged = replace(BUDGET, spent_tokens=PROMPT_TOKENS)
    assert wrongs(judged([cut], charged, money=prices)) == []
    more = replace(BUDGET, spent_tokens=PROMPT_TOKENS + 1)
    (wrong,) = wrongs(judged([cut], more, money=prices))
    assert f"0 to {PROMPT_TOKENS} were used" in wrong


@pytest.mark.parametrize(("code", "is_false"), [("unavailable", False), ("quota_unknown", True)])
def test_who_failed_may_have_held_its_place_if_its_quota_was_known(code: str, *, is_false: bool):
    narrow = replace(BUDGET, limits=Limits(parallel_requests=1), spent_tokens=0)
    failed = asked("first", 1.0, status=503, code=code)
    refused = asked("second", 1.5, status=429, code="rate_limit_exceeded")

    assert judged([failed, refused], narrow).false_refusals == is_false


def test_two_at_a_time_where_one_may_be_are_found():
    narrow = replace(BUDGET, limits=Limits(parallel_requests=1), spent_tokens=2 * USED)
    both = [asked(name, at) for name, at in (("first", 1.0), ("second", 1.5))]

    assert judged(both, narrow).overshoot_in_truth == 1


HURRIED = replace(
    BUDGET,
    limits=Limits(requests_per_minute=2),
    spent_tokens=2 * USED,
    fading=(2 * MINUTE_MS, 0),
    faded_at_ms=2000,
    leases=(Lease("a", settled=Settled(requests=2, tokens=2 * USED)),),
)
TWO = (asked("first", 1.0), asked("second", 1.1))


@pytest.mark.parametrize(("seconds", "is_false"), [(31.5, False), (32.5, True)])
def test_a_refusal_by_a_rate_is_false_once_so_much_of_it_has_faded(
    seconds: float, *, is_false: bool
):
    refused = asked("third", seconds, status=429, code="rate_limit_exceeded")
    found = judged([*TWO, refused], replace(HURRIED, leases=()), HURRIED, HURRIED)

    assert found.false_refusals == is_false


def test_what_the_record_has_not_heard_of_counts_against_a_rate():
    empty = replace(HURRIED, fading=(0, 0), faded_at_ms=0, leases=(), spent_tokens=2 * USED)
    refused = asked("third", 3.0, status=429, code="rate_limit_exceeded")

    assert judged([*TWO, refused], empty).false_refusals == 0
    assert judged([TWO[0], refused], empty).false_refusals == 1


@pytest.mark.parametrize(("bound", "is_false"), [(60, False), (20, True)])
def test_what_fits_beside_what_is_held_is_refused_falsely_by_tokens_of_a_minute(
    bound: int, *, is_false: bool
):
    wordy = replace(BUDGET, limits=Limits(tokens_per_minute=100))
    refused = asked("second", 1.5, bound=bound, status=429, code="rate_limit_exceeded")

    assert judged([asked("first", 1.0), refused], wordy).false_refusals == is_false


@pytest.mark.parametrize(("third", "over"), [(3.0, 1), (35.0, 0)])
def test_more_in_a_minute_than_its_limit_is_found(third: float, over: int):
    hurried = replace(HURRIED, spent_tokens=3 * USED)
    found = judged([*TWO, asked("third", third)], hurried)

    assert found.overshoot_in_truth == over


def test_more_tokens_in_a_minute_than_its_limit_are_found():
    wordy = replace(BUDGET, limits=Limits(tokens_per_minute=USED), spent_tokens=2 * USED)

    assert judged(TWO, wordy).overshoot_in_truth > 0


def test_a_refusal_is_false_only_if_money_is_left_too():
    limits = Limits(tokens=1000, micros=PRICE.cost(PROMPT_TOKENS, 60 - PROMPT_TOKENS))
    refused = asked("second", 3.0, status=429, code="insufficient_quota")

    assert (
        judged([asked("first", 1.0), refused], replace(BUDGET, limits=limits)).false_refusals == 0
    )
    assert judged([refused], replace(BUDGET, limits=limits)).false_refusals == 1


# Trees --------------------------------------------------------------------------------------------

MAKER = replace(BUDGET, budget_id="key-maker", limits=Limits(tokens=15), spent_tokens=2 * USED)
CHILDREN = [replace(MAKER, budget_id=f"key-{name}", spent_tokens=USED) for name in ("a", "b")]


def of_key(each: Asked, name: str, refused_by: str = "") -> Asked:
    return replace(each, budgets=(f"key-{name}", "key-maker"), refused_by=refused_by)


def judged_tree(requests: Sequence[Asked], *budgets: Budget) -> dict[str, Findings]:
    calls = {
        each.name: Generated(each.name, each.sent + 0.05, GENERATED, each.ended, whole=True)
        for each in requests
        if each.status == 200
    }
    paid = PRICE.cost(PROMPT_TOKENS, GENERATED)
    told = [(0.0, replace(it, spent_micros=paid * it.spent_tokens // USED)) for it in budgets]
    names = [each.budget_id for each in budgets]
    return findings(names, requests, calls, told, {"a": []}, lambda at: round(at * 1000))


def test_children_that_use_together_more_than_their_maker_has_are_found():
    requests = [of_key(asked(name, 1.0, bound=10), name) for name in ("a", "b")]
    found = judged_tree(requests, MAKER, *CHILDREN)

    assert found["key-maker"].overshoot_in_truth == 2 * USED - 15
    assert [found[each.budget_id].overshoot_in_truth for each in CHILDREN] == [0, 0]


def test_what_was_charged_to_the_child_alone_is_found():
    requests = [of_key(asked("a", 1.0, bound=10), "a")]
    found = judged_tree(requests, replace(MAKER, spent_tokens=0), CHILDREN[0])

    assert wrongs(found["key-a"]) == []
    assert len(wrongs(found["key-maker"])) == 2


@pytest.mark.parametrize(("refused_by", "is_false"), [("key-maker", False), ("key-a", True)])
def test_a_refusal_is_held_against_the_budget_that_it_names(refused_by: str, *, is_false: bool):
    first = of_key(asked("b", 1.0, bound=10), "b")
    refused = asked("a", 1.5, bound=10, status=429, code="insufficient_quota")
    found = judged_tree(
        [first, of_key(refused, "a", refused_by)],
        replace(MAKER, spent_tokens=USED),
        replace(CHILDREN[0], spent_tokens=0),
        CHILDREN[1],
    )

    assert found["key-maker"].false_refusals == is_false


@pytest.mark.parametrize(("first_by", "is_false"), [("key-maker", False), ("key-a", True)])
def test_who_is_refused_above_may_have_held_its_place_below(first_by: str, *, is_false: bool):
    both = [
        of_key(asked(name, 1.0, bound=10, status=429, code="insufficient_quota"), "a", by)
        for name, by in (("first", first_by), ("second", "key-a"))
    ]
    unspent = [replace(it, spent_tokens=0) for it in (MAKER, CHILDREN[0])]
    found = judged_tree(both, replace(unspent[0], limits=Limits(tokens=5)), unspent[1])

    assert found["key-a"].false_refusals == (2 if is_false else 0)
