"""What the protocol relies on from a stream; the real broker and the one in memory both keep it."""

import asyncio
from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill.registry.v1.model_events_pb2 import AliasState, FileState, ModelReady
from modelmill_bus.bus import Bus, StaleWriteError
from modelmill_bus.errors import StreamFullError
from modelmill_bus.subjects import MODEL_READY, alias_state, file_state, job_state
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually

from tests.machine.stages import FILE, put

ALIAS = alias_state("acme", "best")


async def outcome(publishing: Any) -> int | StaleWriteError:
    try:
        return await publishing
    except StaleWriteError as error:
        return error


async def full(publishing: Any) -> bool:
    try:
        await publishing
    except StreamFullError:
        return True
    return False


class Following:
    """Numbers of file states, as a follower hears them."""

    def __init__(self, bus: Bus, *subjects: str, after: int = 0) -> None:
        self.seen: list[int] = []
        self.current = asyncio.Event()
        self._task = asyncio.create_task(self._follow(bus, subjects, after))

    async def _follow(self, bus: Bus, subjects: tuple[str, ...], after: int) -> None:
        async for stored in bus.follow(subjects, after=after, on_current=self.current.set):
            self.seen.append(stored.body.size_bytes)

    async def end(self) -> list[int]:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self.seen


# Compare-and-set


async def test_expecting_none_yet_creates_once_and_the_second_learns_the_sequence(bus):
    first = await bus.publish(ALIAS, AliasState(version_id="mv-1"), expect_last=0)
    with pytest.raises(StaleWriteError) as refused:
        await bus.publish(ALIAS, AliasState(version_id="mv-2"), expect_last=0)

    assert refused.value.last == first
    assert (await bus.last(ALIAS, AliasState)).body.version_id == "mv-1"


async def test_expecting_the_last_sequence_of_the_subject_alone_replaces_it(bus):
    first = await bus.publish(ALIAS, AliasState(version_id="mv-1"), expect_last=0)
    other = await bus.publish(alias_state("acme", "other"), AliasState(), expect_last=0)
    second = await bus.publish(ALIAS, AliasState(version_id="mv-2"), expect_last=first)
    stale = await outcome(bus.publish(ALIAS, AliasState(), expect_last=first))
    future = await outcome(bus.publish(ALIAS, AliasState(), expect_last=second + 5))

    assert first < other < second
    assert (stale.last, future.last) == (second, second)


async def test_of_fifty_at_once_one_wins(stage, bus):
    others = [await stage.connect() for _ in range(2)]
    outcomes = await asyncio.gather(
        *(
            outcome(each.publish(ALIAS, AliasState(version_id=f"mv-{number}"), expect_last=0))
            for number in range(17)
            for each in (bus, *others)
        )
    )
    won = [each for each in outcomes if isinstance(each, int)]

    assert len(won) == 1
    assert {each.last for each in outcomes if not isinstance(each, int)} == set(won)


# Message ids


async def test_a_known_message_id_stores_nothing_and_answers_with_the_first_sequence(stage, bus):
    ready = ModelReady(version_id="mv-1")
    first = await bus.publish(MODEL_READY, ready, msg_id="mv-1")
    other = await stage.connect()

    assert await other.publish(MODEL_READY, ready, msg_id="mv-1") == first
    # Compared before it is known: a repeat with an expectation is a conflict with itself.
    with pytest.raises(StaleWriteError):
        await bus.publish(MODEL_READY, ready, msg_id="mv-1", expect_last=0)
    assert await bus.last_sequence("MODELS") == 1


# Reading


async def test_the_last_of_a_subject_is_the_newest_and_none_is_none(bus):
    assert await bus.last(FILE, FileState) is None
    await put(bus, 1)
    sequence = await put(bus, 2)
    await put(bus, 3, file_state("file-2"))
    stored = await bus.last(FILE, FileState)

    assert (stored.sequence, stored.body.size_bytes, stored.subject) == (sequence, 2, FILE)


async def test_sequences_grow_by_one_in_each_stream_alone(bus):
    files = [await put(bus, 1), await put(bus, 2, file_state("file-2"))]
    models = await bus.publish(MODEL_READY, ModelReady())
    files.append(await put(bus, 3))

    assert (files, models) == ([1, 2, 3], 1)
    assert await bus.last_sequence("DATASETS") == 3


async def test_a_stream_says_what_it_holds_and_a_body_is_read_by_its_place(bus):
    empty = await bus.facts("DATASETS")
    await put(bus, 7)
    facts = await bus.facts("DATASETS")

    assert (empty.first_sequence, empty.last_sequence, empty.messages) == (0, 0, 0)
    assert (facts.first_sequence, facts.last_sequence, facts.messages) == (1, 1, 1)
    assert 0 < facts.fill < 0.001
    assert facts.duplicate_window_seconds == 24 * 3600
    assert await bus.body_at("DATASETS", 1) == b'{"size_bytes": "7"}'
    assert await bus.body_at("DATASETS", 2) is None


async def test_a_full_stream_refuses_and_keeps_what_it_has(bus):
    config = (await bus._link.js.stream_info("DATASETS")).config
    await bus._link.js.update_stream(config.evolve(max_bytes=1500))
    outcomes = [await full(put(bus, number)) for number in range(8)]
    stored = outcomes.count(False)

    assert 1 <= stored <= 5
    assert outcomes == [False] * stored + [True] * (8 - stored)
    assert (await bus.facts("DATASETS")).messages == stored
    assert (await bus.last(FILE, FileState)).body.size_bytes == stored - 1


# Following


async def test_a_follower_gets_what_is_stored_in_order_and_then_what_comes(bus):
    for number in range(300):
        await put(bus, number)
    following = Following(bus, "file.state.*")
    await asyncio.wait_for(following.current.wait(), 20)
    for number in range(300, 310):
        await put(bus, number)
    await eventually(lambda: len(following.seen) >= 310)

    assert await following.end() == list(range(310))


async def test_a_follower_begins_behind_a_sequence_and_hears_its_filters_alone(bus):
    for number in range(1, 7):
        await put(bus, number, file_state(f"file-{number % 2}"))
    odd = Following(bus, file_state("file-1"), after=1)
    await asyncio.wait_for(odd.current.wait(), 20)
    await put(bus, 8, file_state("file-0"))
    await put(bus, 9, file_state("file-1"))
    await eventually(lambda: len(odd.seen) >= 3)

    assert await odd.end() == [3, 5, 9]


async def test_a_replay_ends_with_what_was_stored(bus):
    assert [stored async for stored in bus.replay(["file.state.*"])] == []
    for number in range(3):
        await put(bus, number)

    assert [each.body.size_bytes async for each in bus.replay(["file.state.*"])] == [0, 1, 2]


async def test_a_follower_goes_on_after_a_restart_of_the_broker_each_message_once(stage, bus):
    following = Following(bus, "file.state.*")
    await put(bus, 0)
    await eventually(lambda: following.seen == [0])
    stage.kill()
    await stage.start()
    await eventually(lambda: bus.connected)
    await eventually(lambda: put(bus, 1))
    await eventually(lambda: following.seen[-1] == 1)

    assert await following.end() == [0, 1]


# A broker that is away


@pytest.mark.parametrize("trouble", ["kill", "pause"])
async def test_without_an_answer_every_request_is_unavailable(stage, bus, trouble):
    getattr(stage, trouble)()
    outcomes = await asyncio.gather(
        put(bus, 1), bus.last(FILE, FileState), bus.facts("JOBS"), return_exceptions=True
    )

    assert [type(each) for each in outcomes] == [UnavailableError] * 3


async def test_a_write_that_was_given_up_may_land_and_its_repeat_finds_it(stage, bus):
    subject = job_state("ftjob-1")
    stage.pause()
    with pytest.raises(UnavailableError):
        await bus.publish(subject, JobState(nonce="ours"), expect_last=0)
    stage.resume()
    refused = await outcome(bus.publish(subject, JobState(nonce="ours"), expect_last=0))
    stored = await bus.last(subject, JobState)

    assert (refused.last, stored.sequence, stored.body.nonce) == (1, 1, "ours")
