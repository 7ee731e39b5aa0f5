"""Records of usage for which the bus has no room wait on disk, and none is lost or sent twice."""

from collections import deque
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.budgets import chat
from gateway_support.house import House
from gateway_support.usage import all_usage
from gateway_support.usage_bus import Bus, dropped, put, running
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch, UsageRecorded
from modelmill_bus import record_queue
from modelmill_bus.errors import StreamFullError
from modelmill_gateway.adapters.usage import UsageQueue, UsageSpill, open_spill
from modelmill_gateway.metrics import USAGE_SPILLED
from modelmill_testkit.waiting import eventually, once_available

MUCH = 1024 * 1024


def spilled() -> float:
    return float(USAGE_SPILLED._value.get())


def batch(number: int) -> UsageBatch:
    return UsageBatch(tenant="acme", requests=[UsageRecorded(request_id=f"r{number}")])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_queue, "RETRY_SECONDS", 0.01)


async def test_while_the_stream_is_full_records_wait_on_disk_and_go_out_when_it_has_room(
    tmp_path: Path,
):
    bus, lost = Bus(), dropped()
    bus.refuses = StreamFullError("full")
    with open_spill(tmp_path, MUCH) as spill:
        queue = UsageQueue(bus, 2, spill)
        async with running(queue):
            put(queue, "acme", "a", "b")
            await eventually(lambda: bus.ids)
            put(queue, "other", *"cdefg")
            assert spilled() > 0
            bus.refuses = None
            await queue.drain(10)
        assert spilled() == 0
    assert bus.stored == [("acme", ["a", "b"]), *(("other", [each]) for each in "cdefg")]
    assert dropped() == lost


async def test_what_memory_has_no_room_for_waits_on_disk(tmp_path: Path):
    bus, lost = Bus(), dropped()
    with open_spill(tmp_path, MUCH) as spill:
        queue = UsageQueue(bus, 2, spill)
        put(queue, "acme", *"abcdefg")
        assert spilled() > 0
        async with running(queue):
            await queue.drain(10)
        assert spilled() == 0
    assert sorted(each for _, ids in bus.stored for each in ids) == list("abcdefg")
    assert len(set(bus.ids)) == len(bus.stored)
    assert dropped() == lost


async def test_what_is_left_at_the_end_is_sent_by_the_next_start_under_its_id(tmp_path: Path):
    bus, lost = Bus(), dropped()
    bus.refuses = StreamFullError("full")
    with open_spill(tmp_path, MUCH) as spill:
        queue = UsageQueue(bus, 10, spill)
        async with running(queue):
            put(queue, "acme", "a")
            await eventually(lambda: bus.ids)
            put(queue, "acme", "b")
            await queue.drain(0.01)
    bus.refuses = None
    with open_spill(tmp_path, MUCH) as spill:
        queue = UsageQueue(bus, 10, spill)
        async with running(queue):
            await queue.drain(10)
    assert bus.stored == [("acme", ["a"]), ("acme", ["b"])]
    assert len(set(bus.ids)) == 2
    assert dropped() == lost


async def test_what_is_more_than_the_bound_on_disk_is_lost_and_counted(tmp_path: Path):
    bus, lost = Bus(), dropped()
    with open_spill(tmp_path, 120) as spill:
        queue = UsageQueue(bus, 1, spill)
        put(queue, "acme", *"abcd")
        assert 0 < spilled() <= 120
        async with running(queue):
            await queue.drain(10)
    assert len(bus.stored) + dropped() - lost == 4
    assert dropped() > lost


@pytest.mark.parametrize("torn", [b"", b"x"])
def test_what_a_death_tore_is_left_out_and_what_stands_before_it_is_there(
    tmp_path: Path, torn: bytes
):
    with open_spill(tmp_path, MUCH) as spill:
        for number in range(3):
            assert spill.put(f"{number:032}", batch(number))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1] + torn)
    with open_spill(tmp_path, MUCH) as spill:
        assert spill.put(f"{3:032}", batch(3))
        assert ids(spill) == [0, 1, 3]


def ids(spill: UsageSpill) -> list[int]:
    found = []
    while (first := spill.first()) is not None:
        found.append(int(first.msg_id))
        assert first.batch == batch(int(first.msg_id))
        spill.sent()
    return found


def test_two_processes_have_each_their_own(tmp_path: Path):
    with open_spill(tmp_path, MUCH) as first, open_spill(tmp_path, MUCH) as second:
        assert first.put("1" * 32, batch(1))
        assert second.first() is None
        assert first.first() is not None


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["put", "put", "sent", "again"]), max_size=40))
def test_they_come_out_as_they_went_in_however_often_its_process_starts_again(steps: list[str]):
    waiting: deque[int] = deque()
    with TemporaryDirectory() as name, ExitStack() as stack:
        spill = stack.enter_context(open_spill(Path(name), MUCH))
        for number, step in enumerate(steps):
            if step == "put":
                assert spill.put(f"{number:032}", batch(number))
                waiting.append(number)
            elif step == "again":
                stack.close()
                spill = stack.enter_context(open_spill(Path(name), MUCH))
            elif waiting:
                spill.sent()
                waiting.popleft()
            first = spill.first()
            assert (first is None) == (not waiting)
            assert first is None or int(first.msg_id) == waiting[0]
        assert ids(spill) == list(waiting)


@pytest.mark.own_broker
async def test_what_was_used_while_the_bus_was_away_is_on_record_after_the_next_start(
    own_house: House, tmp_path: Path
):
    changes = {"usage_folder": tmp_path / "usage", "usage_queue": 2}
    async with another_gateway(own_house, **changes) as ending, ending.house.http() as client:
        own_house.nats.kill()
        answers = [await client.post("/v1/chat/completions", json=chat()) for _ in range(5)]
    assert [each.status_code for each in answers] == [200] * 5
    await own_house.nats.start()

    async def are_recorded() -> bool:
        usage = await once_available(lambda: all_usage(own_house.bus, "acme"))
        return sorted(each.request_id for each in usage) == sorted(
            each.headers["x-request-id"] for each in answers
        )

    async with another_gateway(own_house, **changes):
        await eventually(are_recorded)
