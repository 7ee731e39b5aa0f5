"""Each method gives the same verdict and leaks nothing, over real sockets and processes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from random import Random

import grpc
import pytest
import pytest_asyncio
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_guard.verdict import Action, Direction

from tests.guard.corpus.rows import Row, corpus, policy
from tests.guard.house import TENANT, House, run_house
from tests.guard.judged import cut, expected, same_verdict

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_EACH = 2
"""Rows of each class, language and kind that go through each method."""
AT_ONCE = 8


def sample(of_each: int = OF_EACH) -> list[Row]:
    groups: dict[tuple[str, str, bool], list[Row]] = {}
    for row in corpus():
        groups.setdefault((row.kind, row.language, row.rule is None), []).append(row)
    random = Random(1)
    return [row for rows in groups.values() for row in random.sample(rows, of_each)]


def ways(row: Row) -> Iterator[list[str]]:
    """Whole, one character at a time, and three cuts by chance, one of them within the word."""
    random = Random(row.text)
    yield [row.text]
    yield list(row.text)
    yield cut(row.text, [random.randint(row.start, max(row.end, len(row.text) // 2))])
    for count in (2, 5):
        yield cut(row.text, [random.randint(0, len(row.text)) for _ in range(count)])


SENT = [(row, pieces) for row in sample() for pieces in ways(row)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with run_house(tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest.mark.parametrize("direction", list(Direction))
async def test_check_gives_the_verdict_of_the_library(house: House, direction: Direction) -> None:
    number = pb.DIRECTION_INPUT if direction is Direction.INPUT else pb.DIRECTION_OUTPUT
    for row in sample():
        request = pb.CheckRequest(tenant=TENANT, text=row.text, direction=number)
        answer = await house.moderation.Check(request, timeout=60)
        same_verdict(expected(policy(), row.text, direction).verdict, answer.verdict)


async def test_guard_gives_the_same_verdict_and_leaks_nothing_however_it_is_cut(
    house: House,
) -> None:
    for row, pieces in SENT:
        wanted = expected(policy(), row.text, Direction.OUTPUT)
        call = house.moderation.Guard(timeout=60)
        shown, verdict = "", None
        for number, piece in enumerate(pieces):
            request = pb.GuardRequest(text=piece, end_of_text=number == len(pieces) - 1)
            if number == 0:
                request.tenant, request.direction = TENANT, pb.DIRECTION_OUTPUT
            await call.write(request)
            response = await call.read()
            shown += response.released
            assert wanted.approved.startswith(shown)
            if response.HasField("verdict"):
                verdict = response.verdict
                break
        assert await call.read() is grpc.aio.EOF
        assert verdict is not None
        wanted.hold(shown, None, pieces)
        same_verdict(wanted.verdict, verdict)


@pytest.mark.parametrize("method", ["chat", "complete", "stream_chat"])
async def test_a_streamed_answer_is_what_was_approved_however_the_engine_cuts_it(
    house: House, method: str
) -> None:
    for start in range(0, len(SENT), AT_ONCE):
        batch = SENT[start : start + AT_ONCE]
        await asyncio.gather(
            *(_say(house, method, f"{method} {start + n}", *one) for n, one in enumerate(batch))
        )


async def _say(house: House, method: str, prompt: str, row: Row, pieces: list[str]) -> None:
    house.said.scripts[prompt] = pieces
    answer = await getattr(house, method)(prompt)
    wanted = expected(policy(), row.text, Direction.OUTPUT)
    blocked = wanted.verdict.action is Action.BLOCK

    assert answer.status == 200, answer.raw
    wanted.hold(answer.text, None, pieces)
    assert answer.finish_reason == ("content_filter" if blocked else "stop"), row
    assert "[DONE]" in answer.raw


@pytest.mark.parametrize("method", ["chat", "complete", "stream_chat"])
async def test_an_input_is_refused_or_reaches_the_engine_as_the_policy_shows_it(
    house: House, method: str
) -> None:
    for row in sample():
        wanted = expected(policy(), row.text, Direction.INPUT)
        house.said.prompts.clear()
        answer = await getattr(house, method)(row.text)
        if wanted.verdict.action is Action.BLOCK:
            assert answer.status == 400, row
            assert "policy" in answer.raw
            assert house.said.prompts == []
        else:
            assert answer.status == 200, row
            assert house.said.prompts == [wanted.approved]
