"""A moderation that hangs is left alone for a while: nobody waits for what does not come."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from gateway_support.house import BLOCKED, POLICY, House, run_house
from modelmill_gateway.domain.errors import ModerationAwayError, ModerationLateError
from modelmill_gateway.domain.verdict import InputVerdict
from modelmill_gateway.guarding.judge_inputs import (
    LATE_IN_A_ROW,
    SPARED_SECONDS,
    TRIAL_SECONDS,
    CircuitBreakerModeration,
)
from modelmill_guard.bundle import compile_policy
from modelmill_guard.judge import Window
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Action
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.waiting import eventually

PATIENCE = 5.0
FINE = InputVerdict(action=Action.ALLOW, hits=(), text="hi", policy_digest="sha256:0")


class Moderation:
    """Answers as it is told, and remembers how long it was given."""

    def __init__(self) -> None:
        self.answer: Callable[[], Any] = lambda: FINE
        self.waits: list[float] = []
        self.windows = 0

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict:
        self.waits.append(timeout)
        answer = self.answer()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def judge_window(self, judge_id: str, window: Window, **about: Any) -> Any:
        self.windows += 1


class Case:
    """The real breaker before such a moderation, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.moderation = Moderation()
        self.spared = CircuitBreakerModeration(self.moderation, PATIENCE, clock=lambda: self.now)

    async def ask(self, tenant: str = "acme", timeout: float = 100.0) -> str:
        """What came of it: fine, late, away, spared until when, or another error by name."""
        before = len(self.moderation.waits)
        try:
            await self.spared.check_input("hi", tenant=tenant, timeout=timeout)
        except ModerationLateError:
            return "late"
        except ModerationAwayError as error:
            asked = len(self.moderation.waits) > before
            return "away" if asked else f"spared {error.retry_after_seconds:g}"
        except Exception as error:
            return type(error).__name__
        return "fine"

    async def hang(self) -> None:
        self.moderation.answer = lambda: ModerationLateError("late")
        assert [await self.ask() for _ in range(LATE_IN_A_ROW)] == ["late"] * LATE_IN_A_ROW


async def test_after_three_late_verdicts_in_a_row_it_is_left_alone_then_tried_by_one():
    case = Case()
    await case.hang()
    assert [await case.ask() for _ in range(50)] == ["spared 10"] * 50
    case.now = SPARED_SECONDS
    assert [await case.ask(), await case.ask()] == ["late", "spared 10"]
    assert case.moderation.waits == [PATIENCE] * LATE_IN_A_ROW + [TRIAL_SECONDS]

    case.moderation.answer = lambda: FINE
    case.now *= 2
    assert [await case.ask() for _ in range(3)] == ["fine"] * 3
    assert case.moderation.waits[-2:] == [PATIENCE] * 2


async def test_one_verdict_in_time_begins_the_count_anew():
    case = Case()
    for _ in range(5):
        case.moderation.answer = lambda: ModerationLateError("late")
        assert [await case.ask() for _ in range(LATE_IN_A_ROW - 1)] == ["late"] * 2
        case.moderation.answer = lambda: FINE
        assert await case.ask() == "fine"


@pytest.mark.parametrize("error", [ModerationAwayError("down"), InvalidInputError("too long")])
async def test_a_refusal_in_time_is_no_hanging(error: Exception):
    case = Case()
    case.moderation.answer = lambda: error
    said = {await case.ask() for _ in range(10)}
    assert len(said) == 1
    assert not said.pop().startswith("spared")

    await case.hang()
    case.now = SPARED_SECONDS
    case.moderation.answer = lambda: error
    assert {await case.ask() for _ in range(3)}.isdisjoint({"spared 10", "late"})
    assert case.moderation.waits[-1] == PATIENCE


async def test_who_has_less_time_than_the_patience_says_nothing_of_moderation():
    case = Case()
    case.moderation.answer = lambda: ModerationLateError("late")
    assert {await case.ask(timeout=0.1) for _ in range(10)} == {"late"}
    await case.hang()
    case.now = SPARED_SECONDS
    said = [await case.ask(timeout=0.1), await case.ask(), await case.ask()]
    assert said == ["late", "late", "spared 10"]


async def test_timeouts_of_one_tenant_do_not_open_the_circuit_for_others():
    case = Case()
    await case.hang()
    case.moderation.answer = lambda: FINE
    assert [await case.ask("other"), await case.ask()] == ["fine", "spared 10"]


async def test_a_trial_whose_caller_leaves_lets_another_try():
    case = Case()
    await case.hang()
    case.now = SPARED_SECONDS
    case.moderation.answer = asyncio.CancelledError
    with pytest.raises(asyncio.CancelledError):
        await case.ask()
    case.moderation.answer = lambda: FINE
    assert await case.ask() == "fine"


async def test_windows_of_answers_are_not_asked_about_either():
    case = Case()

    async def judge(tenant: str) -> None:
        await case.spared.judge_window(
            "a", Window(0, "", "hi"), tenant=tenant, policy_digest="sha256:0", timeout=1
        )

    await judge("acme")
    await case.hang()
    with pytest.raises(ModerationAwayError):
        await judge("acme")
    await judge("other")
    assert case.moderation.windows == 2


# Over HTTP ---------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def hanging(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose moderation hangs, with little patience."""
    async with run_house(tmp_path, moderation_seconds=0.2) as house:
        house.moderation.hang = asyncio.Event()
        yield house
        house.moderation.hang.set()


async def chat(house: House, content: str = "hello", *, tells: bool = False, **claims: Any) -> Any:
    body: Any = {"model": "default", "messages": [{"role": "user", "content": content}]}
    if tells:
        body["moderation"] = {}
    return await house.http(**claims).post("/v1/chat/completions", json=body)


async def test_a_closed_policy_refuses_at_once_and_says_when_to_come_back(hanging: House):
    for _ in range(LATE_IN_A_ROW):
        assert (await chat(hanging)).status_code == 503
    asked = len(hanging.moderation.requests)
    refused = [await chat(hanging) for _ in range(5)]

    assert {answer.status_code for answer in refused} == {503}
    assert all(1 <= int(each.headers["retry-after"]) <= SPARED_SECONDS for each in refused)
    # Nobody was asked, so nobody was waited for.
    assert len(hanging.moderation.requests) == asked
    judged = await hanging.http().post("/v1/moderations", json={"input": "hello"})
    assert judged.status_code == 503


async def test_rules_alone_judge_at_once_where_the_policy_says_so(hanging: House):
    bundle = compile_policy(parse_policy({"p": f"when_unavailable: rules_only\n{POLICY}"}))
    await hanging.say_policy("patient", bundle.content, bundle.digest)

    async def is_asked_no_more() -> bool:
        before = len(hanging.moderation.requests)
        answer = await chat(hanging, tenant="patient")
        return answer.status_code == 200 and len(hanging.moderation.requests) == before

    await eventually(is_asked_no_more)
    assert (await chat(hanging, f"eat {BLOCKED}", tenant="patient")).status_code == 400
    assert (await chat(hanging, tenant="patient")).status_code == 200


async def test_judges_that_cannot_be_asked_are_named_where_rules_alone_judge(hanging: House):
    judge = "{id: careful, severity: high, action: block, directions: input, on_failure: open,"
    model = "threshold: 0.8, window: 50, classifier: safety, labels: {safe: null, rude: rude}}"
    text = f"when_unavailable: rules_only\n{POLICY}judges: [{judge} {model}]\n"
    bundle = compile_policy(parse_policy({"p": text}))
    await hanging.say_policy("patient", bundle.content, bundle.digest)

    async def verdict() -> Any:
        answer = await chat(hanging, tenant="patient", tells=True)
        return answer.json()["moderation"]["input"]["results"] if answer.is_success else None

    (result,) = await eventually(verdict)
    assert (result["flagged"], result["unanswered"]) == (False, ["careful"])
