"""A model as a judge: what it is asked, what its likelihoods come to, and what is no opinion."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill_guard.judge import DEFAULT_INSTRUCTION, Judge, Window
from modelmill_guard.policy import parse_policy
from modelmill_moderation.adapters.classifier_judge import ClassifierJudge, inference_at, shares_of
from modelmill_moderation.domain.judge_answers import Failure, NoOpinionError, ScoreCache
from modelmill_service_kit.errors import (
    DeadlineError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
    TooLargeError,
    UnavailableError,
)
from modelmill_testkit.ports import free_port
from modelmill_testkit.service_process import SECRET
from moderation_support.classifier import ALIAS, SURE, Classifier, serving_classifier
from moderation_support.safety_client import Clock

POLICY = """
judges:
- {id: model, classifier: safety, severity: high, action: block, directions: both, threshold: 0.8,
   labels: {safe: null, bomb: illicit, knife: illicit, insult: harassment}}
"""
WINDOW = Window(100, "before it ", "the window")


def the_judge() -> Judge:
    (judge,) = parse_policy({"test": POLICY}).judges
    return judge


def kept(clock: Clock | None = None) -> ScoreCache:
    return ScoreCache(entries=100, seconds=300, clock=clock or Clock())


@asynccontextmanager
async def judging(
    classifier: Classifier, *, timeout: float = 5, clock: Clock | None = None
) -> AsyncIterator[ClassifierJudge]:
    async with (
        serving_classifier(classifier) as address,
        inference_at(address, SECRET, None) as stub,
    ):
        yield ClassifierJudge(stub, timeout, kept(clock))


async def failure_of(judge: ClassifierJudge) -> Failure:
    with pytest.raises(NoOpinionError) as error:
        await judge.opinions(the_judge(), WINDOW, tenant="acme")
    return error.value.failure


async def test_a_classifier_is_asked_which_label_follows_the_window_in_its_context() -> None:
    classifier = Classifier()
    async with judging(classifier) as judge:
        await judge.opinions(the_judge(), WINDOW, tenant="acme")
    (request,) = classifier.requests
    assert (request.tenant, request.model) == ("acme", ALIAS)
    assert [(turn.role, turn.content) for turn in request.conversation.messages] == [
        ("system", DEFAULT_INSTRUCTION),
        ("user", "before it the window"),
    ]
    assert sorted(request.continuations) == ["bomb", "insult", "knife", "safe"]


async def test_the_likeliest_category_gets_the_probability_that_the_text_is_unsafe() -> None:
    async with judging(Classifier()) as judge:
        opinions = await judge.opinions(the_judge(), Window(0, "", "a bomb"), tenant="acme")
    safe = (1 - SURE) / 3
    assert [(one.category, pytest.approx(one.score)) for one in opinions] == [("illicit", 1 - safe)]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (DeadlineError("late"), Failure.TIMEOUT),
        (UnavailableError("restarting"), Failure.UNREACHABLE),
        (OverloadedError("full"), Failure.BUSY),
        (NotFoundError("no model"), Failure.UNKNOWN),
        (InvalidInputError("too long"), Failure.REFUSED),
        (TooLargeError("too long"), Failure.REFUSED),
        (PreconditionError("no scores"), Failure.REFUSED),
        (PermissionDeniedError("not you"), Failure.DENIED),
        (RuntimeError("a bug"), Failure.BROKEN),
    ],
)
async def test_a_refusal_is_no_opinion(error: Exception, failure: Failure) -> None:
    async with judging(Classifier(error=error)) as judge:
        assert await failure_of(judge) is failure


@pytest.mark.parametrize(
    "values",
    [
        (),
        (-1.0, -2.0, -3.0),
        (-1.0,) * 5,
        (math.nan, -1.0, -1.0, -1.0),
        (1.0, -1.0, -1.0, -1.0),
        (-math.inf,) * 4,
        (math.inf, -1.0, -1.0, -1.0),
    ],
)
async def test_an_answer_in_which_no_likelihoods_can_be_read_is_none(values: Any) -> None:
    scores = [pb.ContinuationScore(log_likelihood=value) for value in values]
    async with judging(Classifier(answer=pb.ScoreResponse(scores=scores))) as judge:
        assert await failure_of(judge) is Failure.BAD_ANSWER


async def test_a_model_that_says_nothing_or_nobody_there_is_no_opinion() -> None:
    async with judging(Classifier(hangs=True), timeout=0.3) as judge:
        assert await failure_of(judge) is Failure.TIMEOUT
    async with inference_at(f"127.0.0.1:{free_port()}", SECRET, None) as stub:
        assert await failure_of(ClassifierJudge(stub, 5, kept())) is Failure.UNREACHABLE
    async with inference_at("", SECRET, None) as stub:
        assert await failure_of(ClassifierJudge(stub, 5, kept())) is Failure.UNKNOWN


async def test_a_window_is_asked_about_once_until_that_is_long_ago_or_of_another_version() -> None:
    classifier, clock = Classifier(), Clock()
    async with judging(classifier, clock=clock) as judge:

        async def is_asked(text: str, tenant: str = "acme", **changes: Any) -> bool:
            before = len(classifier.requests)
            asked = replace(the_judge(), **changes)
            await judge.opinions(asked, Window(0, "", text), tenant=tenant)
            return len(classifier.requests) > before

        assert [await is_asked(text) for text in ("one", "one", "two", "one")] == [
            *(True, False, True, False)
        ]
        assert await is_asked("one", instruction="Say something else.")
        assert await is_asked("one", labels=(("bomb", "illicit"), ("safe", None)))
        assert not await is_asked("one", threshold=0.1)
        classifier.aliases.add(("other", ALIAS))
        assert await is_asked("one", tenant="other")

        classifier.version = "mv-2"
        assert not await is_asked("two")
        assert await is_asked("three")
        assert await is_asked("two")
        clock.now = 300
        assert await is_asked("two")


async def test_no_refusal_is_remembered() -> None:
    classifier = Classifier(error=UnavailableError("restarting"))
    async with judging(classifier) as judge:
        assert await failure_of(judge) is Failure.UNREACHABLE
        classifier.error = None
        await judge.opinions(the_judge(), WINDOW, tenant="acme")


@given(st.lists(st.floats(-1e6, 0), min_size=1), st.floats(-1e6, 0))
def test_shares_sum_to_one_keep_the_order_and_do_not_depend_on_the_length_of_all(
    values: list[float], longer: float
) -> None:
    shares = shares_of(values)
    assert math.isclose(sum(shares), 1)
    assert all(
        shares[first] >= shares[second]
        for first, one in enumerate(values)
        for second, other in enumerate(values)
        if one >= other
    )
    shifted = shares_of([value + longer for value in values])
    assert shifted == pytest.approx(shares, abs=1e-6)
