"""Publish, read, follow and consume over a broker that comes and goes."""

import asyncio
import time
from contextlib import suppress

import pytest
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill.registry.v1.model_events_pb2 import AliasState, FileState, ModelReady
from modelmill_bus.bus import Bus, StaleWriteError
from modelmill_bus.subjects import MODEL_READY, alias_state, file_state, job_state
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually, is_once_done


async def test_of_fifty_compare_and_sets_one_wins_and_the_others_learn_the_sequence(bus):
    subject = alias_state("acme", "best")

    async def move(number: int) -> int | StaleWriteError:
        try:
            return await bus.publish(subject, AliasState(version_id=f"mv-{number}"), expect_last=0)
        except StaleWriteError as error:
            return error

    outcomes = await asyncio.gather(*(move(number) for number in range(50)))
    won = [outcome for outcome in outcomes if isinstance(outcome, int)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, StaleWriteError)]

    assert len(won) == 1
    assert {error.last for error in lost} == set(won)


async def test_the_last_message_of_a_subject_is_read_back_and_none_is_none(bus):
    assert await bus.last(file_state("file-1"), FileState) is None
    await bus.publish(file_state("file-1"), FileState(file_id="file-1"))
    sequence = await bus.publish(file_state("file-1"), FileState(file_id="file-1", deleted=True))
    await bus.publish(file_state("file-2"), FileState(file_id="file-2"))
    stored = await bus.last(file_state("file-1"), FileState)

    assert (stored.sequence, stored.body.deleted) == (sequence, True)
    assert await bus.last_sequence("DATASETS") == sequence + 1


async def test_the_same_message_id_is_stored_once(bus):
    ready = ModelReady(version_id="mv-1")
    first = await bus.publish(MODEL_READY, ready, msg_id="mv-1")
    second = await bus.publish(MODEL_READY, ready, msg_id="mv-1")

    assert first == second
    assert await bus.last_sequence("MODELS") == 1


async def test_an_erased_message_is_gone_and_no_longer_the_newest(bus):
    for name in ("mv-1", "mv-2"):
        await bus.publish(MODEL_READY, ModelReady(version_id=name))
    await bus.erase("MODELS", 2)
    await bus.erase("MODELS", 2)

    assert await bus.body_at("MODELS", 2) is None
    assert await bus.last_sequence("MODELS") == 1
    assert [each.body.version_id async for each in bus.replay([MODEL_READY])] == ["mv-1"]


async def test_a_message_carries_cloudevents_attributes_and_snake_case_json(bus):
    await bus.publish(MODEL_READY, ModelReady(version_id="mv-1", size_bytes=5), msg_id="mv-1")
    raw = await bus._link.js.get_last_msg("MODELS", MODEL_READY)

    assert raw.data == b'{"version_id": "mv-1", "size_bytes": "5"}'
    assert raw.headers["ce-specversion"] == "1.0"
    assert raw.headers["ce-id"] == raw.headers["Nats-Msg-Id"] == "mv-1"
    assert raw.headers["ce-type"] == "modelmill.registry.v1.ModelReady"
    assert raw.headers["ce-source"] == "modelmill/tester"
    assert raw.headers["ce-subject"] == "model.ready"


@pytest.mark.own_broker
@pytest.mark.parametrize("trouble", ["kill", "pause"])
async def test_a_publish_fails_within_seconds_when_the_broker_does_not_answer(broker, bus, trouble):
    getattr(broker, trouble)()

    async def all_fail() -> None:
        outcomes = await asyncio.gather(
            bus.publish(file_state("file-1"), FileState()),
            bus.last(file_state("file-1"), FileState),
            bus.last_sequence("JOBS"),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 3

    # 2.8 s at worst, and some for a busy machine; the client by itself would wait for 5 s.
    assert await is_once_done(all_fail, within=4.8)


@pytest.mark.own_broker
async def test_following_replays_in_order_and_goes_on_across_broker_restarts(broker, bus):
    seen: list[int] = []

    async def follow() -> None:
        async for stored in bus.follow(["file.state.*"]):
            seen.append(stored.body.size_bytes)

    for number in range(300):
        await bus.publish(file_state("file-1"), FileState(size_bytes=number))
    following = asyncio.create_task(follow())
    await eventually(lambda: len(seen) == 300)
    for restart in (1, 2):
        broker.kill()
        await broker.start()
        await eventually(lambda: bus.connected)
        for number in range(10):
            body = FileState(size_bytes=300 + 10 * (restart - 1) + number)
            await eventually(lambda body=body: bus.publish(file_state("file-1"), body))
        await eventually(lambda restart=restart: len(seen) >= 300 + 10 * restart)
    following.cancel()

    assert seen == list(range(320))


async def test_following_begins_where_it_is_told_and_says_when_it_is_current(bus):
    for number in range(5):
        await bus.publish(file_state(f"file-{number}"), FileState(size_bytes=number))
    current = asyncio.Event()
    seen: list[int] = []

    async def follow() -> None:
        async for stored in bus.follow(["file.state.*"], after=3, on_current=current.set):
            seen.append(stored.body.size_bytes)

    following = asyncio.create_task(follow())
    await asyncio.wait_for(current.wait(), 60)
    following.cancel()

    assert seen == [3, 4]


async def test_an_empty_stream_is_current_at_once(bus):
    current = asyncio.Event()

    async def follow() -> None:
        async for _ in bus.follow(["dataset.ready"], on_current=current.set):
            pass

    following = asyncio.create_task(follow())
    await asyncio.wait_for(current.wait(), 60)
    following.cancel()


async def test_a_message_that_is_not_what_the_table_says_is_left_out(bus):
    await bus._link.js.publish(file_state("file-1"), b"\xff not json")
    await bus._link.js.publish("file.state.UPPER", b"{}")
    await bus.publish(file_state("file-2"), FileState(file_id="file-2"))

    assert [each.body.file_id async for each in bus.replay(["file.state.*"])] == ["file-2"]


async def test_fields_of_a_later_version_are_ignored(bus):
    await bus._link.js.publish(job_state("ftjob-1"), b'{"job_id": "ftjob-1", "of_tomorrow": 1}')
    stored = await bus.last(job_state("ftjob-1"), JobState)

    assert stored.body == JobState(job_id="ftjob-1")


async def test_a_handler_that_fails_gets_the_message_again_and_one_that_returns_does_not(bus):
    stopping, handled = asyncio.Event(), []

    async def handle(stored) -> None:
        handled.append(stored.body.version_id)
        if handled == ["mv-1"]:
            raise RuntimeError("the first time fails")

    await bus.publish(MODEL_READY, ModelReady(version_id="mv-1"))
    await bus.publish(MODEL_READY, ModelReady(version_id="mv-2"))
    consuming = asyncio.create_task(bus.consume("builder-orders", [MODEL_READY], handle, stopping))
    await eventually(lambda: len(handled) == 3)
    stopping.set()
    await consuming

    async def is_done_with() -> bool:
        # The broker takes acknowledgements in a moment after it got them.
        info = await bus._link.js.consumer_info("MODELS", "builder-orders")
        return info.num_pending + info.num_ack_pending == 0

    await eventually(is_done_with)
    assert sorted(handled) == ["mv-1", "mv-1", "mv-2"]


@pytest.mark.own_broker
async def test_a_durable_consumer_goes_on_after_a_restart_of_broker_and_service(broker, bus):
    handled: list[str] = []

    async def handle(stored) -> None:
        handled.append(stored.body.version_id)

    async def consume_until(count: int) -> None:
        stopping = asyncio.Event()
        task = asyncio.create_task(bus.consume("builder-orders", [MODEL_READY], handle, stopping))
        await eventually(lambda: len(set(handled)) == count)
        stopping.set()
        await task

    await bus.publish(MODEL_READY, ModelReady(version_id="mv-1"))
    await consume_until(1)
    broker.kill()
    await broker.start()
    await eventually(lambda: bus.connected)
    await bus.publish(MODEL_READY, ModelReady(version_id="mv-2"))
    await consume_until(2)

    assert handled[-1] == "mv-2"


async def test_a_wrong_token_is_said_at_once(broker):
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="refuses the token"):
        async with Bus.connect(broker.url, "wrong", name="intruder"):
            pass

    assert time.monotonic() - began < 15  # a connection that waits for a broker goes on for ever


@pytest.mark.parametrize("at", [0, 99], ids=["answered", "refused"])
async def test_a_task_that_was_cancelled_ends_although_its_request_has_an_answer(
    bus, monkeypatch, at
):
    asked = asyncio.Event()

    async def answer_a_cancelled_request(*_args):
        # What `asyncio.wait_for` of Python 3.11 does when answer and cancel come in one tick.
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return await bus._link.js.get_msg("MODELS", sequence + at)

    sequence = await bus.publish(MODEL_READY, ModelReady(version_id="mv-1"))
    monkeypatch.setattr(bus._link.js, "get_last_msg", answer_a_cancelled_request)
    asking = asyncio.create_task(bus.last(MODEL_READY, ModelReady))
    await asked.wait()
    asking.cancel()
    await asyncio.wait([asking])

    assert asking.cancelled()
