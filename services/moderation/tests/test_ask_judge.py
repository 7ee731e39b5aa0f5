"""A judge that says nothing fills no log, whatever callers send."""

import logging
from typing import Any

import pytest
from modelmill_guard.judge import Judge, Window
from modelmill_guard.verdict import Direction
from modelmill_moderation.domain.judge_answers import Failure, NoOpinionError
from modelmill_moderation.judge_window import LOG_SECONDS, AskJudge
from moderation_support.judged import compiled, judges
from moderation_support.safety_client import Clock


class Silent:
    """A kind of judge that never has an opinion."""

    async def opinions(self, judge: Judge, window: Window, *, tenant: str) -> Any:
        raise NoOpinionError(Failure.BROKEN, "it answered 503")


async def test_of_the_failures_of_a_second_one_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    ask = AskJudge(classifiers=Silent(), services=Silent(), clock=clock)
    judge, _ = compiled(judges(on_failure="open")).judges(Direction.INPUT)
    with caplog.at_level(logging.WARNING):
        for second in (0.0, 0.5, LOG_SECONDS, LOG_SECONDS + 0.9):
            clock.now = second
            for _ in range(100):
                ruling = await ask(judge, Window(0, "", "secret words"), owner="acme")
                assert not ruling.answered
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"the judge {judge.id} of acme gives no opinion: it answered 503"] * 2
