"""A moderator that is killed, hangs or answers nonsense: closed, said aloud, and nothing leaks."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_guard.bundle import compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Action, Direction
from modelmill_testkit.waiting import eventually

from tests.guard.broken_moderation import BrokenModeration, serving
from tests.guard.corpus.rows import POLICY_FILE, policy
from tests.guard.house import TENANT, Answer, House, run_house
from tests.guard.judged import expected
from tests.put_policy import put_policy

pytestmark = pytest.mark.tier("drills")

QUESTION = "What is on the list?"
ANSWERS = (
    "Well, we sold the zorbium and went home.",
    "我们买了一些火花石，然后走了。",
    "Ask Marlow Finch about it; he knows the list.",
    "Nothing is forbidden in this answer at all.",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broken() -> AsyncIterator[BrokenModeration]:
    yield BrokenModeration()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broken_house(
    broken: BrokenModeration, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    async with (
        serving(broken) as address,
        run_house(tmp_path_factory.mktemp("broken"), moderation=address, asks_always=True) as house,
    ):
        yield house


def closed(answer: Answer, house: House) -> None:
    """Refused with a reason that a program can read, and no engine was asked."""
    assert answer.status in (400, 500, 503), answer
    error = json.loads(answer.raw)["error"]
    assert error["message"]
    assert error["request_id"]
    assert house.said.prompts == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("mode", "status"),
    [
        ("unavailable", 503),
        ("internal", 503),
        ("unimplemented", 503),
        ("crash", 503),
        ("garbage", 503),
        ("shorter", 503),
        ("nothing", 400),
        ("no_action", 400),
        ("unknown_action", 400),
    ],
)
@pytest.mark.parametrize("method", ["chat", "complete"])
async def test_no_verdict_or_a_senseless_one_lets_nothing_pass(
    broken_house: House, broken: BrokenModeration, mode: str, status: int, method: str
) -> None:
    broken.mode, broken.asked = "allow", 0
    assert (await getattr(broken_house, method)(QUESTION)).status == 200
    broken_house.said.prompts.clear()
    broken.mode = mode

    answer = await getattr(broken_house, method)(QUESTION)

    assert broken.asked == 2
    assert answer.status == status
    closed(answer, broken_house)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_verdict_that_does_not_come_is_none(
    broken_house: House, broken: BrokenModeration
) -> None:
    broken.mode = "hang"
    broken_house.said.prompts.clear()

    for answer in await asyncio.gather(
        broken_house.chat(QUESTION), broken_house.complete(QUESTION)
    ):
        assert answer.status == 503
        closed(answer, broken_house)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_streams_end_guarded_and_new_ones_are_refused_while_moderation_is_gone(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with run_house(tmp_path, asks_always=True) as house:
        under_way, go_on = asyncio.Semaphore(0), asyncio.Event()

        async def between(piece: int) -> None:
            if piece == 8:
                under_way.release()
                await go_on.wait()

        house.said.between = between
        house.said.scripts = {f"answer {n}": list(text) for n, text in enumerate(ANSWERS)}
        streams = [asyncio.create_task(house.chat(f"answer {n}")) for n in range(len(ANSWERS))]
        for _ in streams:
            await asyncio.wait_for(under_way.acquire(), 60)
        house.said.prompts.clear()
        assert house.moderation_process is not None

        house.moderation_process.process.send_signal(number)
        refused = await house.chat(QUESTION)
        go_on.set()

        assert refused.status == 503
        closed(refused, house)
        for text, stream in zip(ANSWERS, streams, strict=True):
            answer = await stream
            wanted = expected(policy(), text, Direction.OUTPUT)
            wanted.hold(answer.text, None, number)
            blocked = wanted.verdict.action is Action.BLOCK
            assert answer.finish_reason == ("content_filter" if blocked else "stop")


async def test_where_a_policy_says_so_its_rules_alone_judge_while_moderation_is_gone(
    tmp_path: Path,
) -> None:
    rules = POLICY_FILE.read_text("utf-8")
    rules_only = compile_policy(parse_policy({"p": f"when_unavailable: rules_only\n{rules}"}))
    async with run_house(tmp_path, asks_always=True) as house:
        await put_policy(house.bus, TENANT, rules_only)
        assert house.moderation_process is not None
        house.moderation_process.process.kill()

        async def answers() -> bool:
            return (await house.chat(QUESTION)).status == 200

        await eventually(answers)
        for text in ANSWERS:
            house.said.prompts.clear()
            answer = await house.chat(text)
            wanted = expected(policy(), text, Direction.INPUT)
            if wanted.verdict.action is Action.BLOCK:
                assert answer.status == 400
                closed(answer, house)
            else:
                assert answer.status == 200
                assert house.said.prompts == [wanted.approved]


async def test_rules_that_are_all_of_a_policy_need_no_moderation_and_long_texts_do(
    tmp_path: Path,
) -> None:
    async with run_house(tmp_path) as house:
        assert house.moderation_process is not None
        house.moderation_process.process.kill()
        for text in ANSWERS:
            house.said.prompts.clear()
            answer = await house.chat(text)
            wanted = expected(policy(), text, Direction.INPUT)
            if wanted.verdict.action is Action.BLOCK:
                assert answer.status == 400
                closed(answer, house)
            else:
                assert answer.status == 200
                assert house.said.prompts == [wanted.approved]

        house.said.prompts.clear()
        refused = await house.chat("Is anything on the list? " * 200)

        assert refused.status == 503
        closed(refused, house)


async def test_a_text_whose_moderation_dies_is_never_said_to_be_whole(tmp_path: Path) -> None:
    async with run_house(tmp_path, asks_always=True) as house:
        assert house.moderation_process is not None
        call = house.moderation.Guard(timeout=60)
        first = pb.GuardRequest(tenant=TENANT, direction=pb.DIRECTION_OUTPUT, text="the zorb")
        await call.write(first)
        assert (await call.read()).released == "the "

        house.moderation_process.process.kill()

        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await call.read()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
