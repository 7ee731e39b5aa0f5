"""Deliveries that fail: tried again until they arrive, given up in the end, in nobody's way."""

import re
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from gateway_support.house import House, run_house
from gateway_support.receiver import OK, Received, answer, receiving
from gateway_support.webhooks import about, all_told, attempts, jobs_succeed, registered, shown
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually, is_once_done

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAITS = (0.1, 0.1, 0.2, 0.2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder: Path = tmp_path_factory.mktemp("house")
    async with run_house(
        folder, webhook_allow_private=True, webhook_retry_seconds=WAITS
    ) as running:
        yield running


async def test_what_a_receiver_that_fails_refuses_arrives_later_and_once_by_its_ids(house: House):
    names = [f"job-{number}" for number in range(10)]
    failed: set[str] = set()

    def at_first_no(request: Received) -> bytes:
        if request.id in failed:
            return OK
        failed.add(request.id)
        return answer(503)

    async with receiving(answer=at_first_no) as receiver, house.http(tenant="later") as client:
        await registered(client, receiver)
        await jobs_succeed(house, "later", names)
        await eventually(lambda: len(receiver.requests) >= 2 * len(names))

    told = {request.id: about(request)[1] for request in receiver.requests}
    assert sorted(told.values()) == names
    bodies = {(request.id, request.body) for request in receiver.requests}
    assert len(bodies) == len(names)


async def test_a_receiver_that_is_down_hears_all_of_it_once_it_is_up(tmp_path: Path):
    names, port = [f"job-{number}" for number in range(5)], free_port()
    # No event is given up before it is up, however long that takes here.
    patient = {"webhook_allow_private": True, "webhook_retry_seconds": (0.1,) * 3 + (0.5,) * 100}
    async with run_house(tmp_path, **patient) as house, house.http(tenant="down") as client:
        async with receiving(port) as receiver:
            webhook = await registered(client, receiver)
        await jobs_succeed(house, "down", names)
        await eventually(lambda: _count(client, webhook, at_least=len(names)))
        async with receiving(port) as receiver:
            await eventually(lambda: len(receiver.ids) == len(names))
        failed = [
            each for each in await attempts(client, webhook) if each["outcome"] != "delivered"
        ]

    assert {each["outcome"] for each in failed} == {"unreachable"}
    assert all(each["next_at"] and each["status"] is None for each in failed)


async def _count(client, webhook, *, at_least: int) -> bool:
    return len(await attempts(client, webhook)) >= at_least


async def test_an_event_is_dropped_after_the_last_attempt_and_the_next_is_tried(house: House):
    async with (
        receiving(answer=lambda _: answer(500)) as receiver,
        house.http(tenant="refusing") as client,
    ):
        webhook = await registered(client, receiver)
        await jobs_succeed(house, "refusing", ["job-1"])
        await eventually(lambda: _count(client, webhook, at_least=len(WAITS) + 1))
        seen = await attempts(client, webhook)
        await jobs_succeed(house, "refusing", ["job-2"])
        await eventually(lambda: len(receiver.ids) == 2)
        still = await shown(client, webhook)

    assert [each["attempt"] for each in seen] == [5, 4, 3, 2, 1]
    assert all(re.fullmatch("attempt-[0-9a-f]{32}", each["id"]) for each in seen)
    assert [each["next_at"] is None for each in seen] == [True, False, False, False, False]
    assert still["enabled"]


async def test_retry_after_makes_a_wait_longer(house: House):
    heard: list[float] = []

    def not_yet(_: Received) -> bytes:
        heard.append(time.monotonic())
        return answer(429, "retry-after: 1") if len(heard) == 1 else OK

    async with receiving(answer=not_yet) as receiver, house.http(tenant="patient") as client:
        webhook = await registered(client, receiver)
        await jobs_succeed(house, "patient", ["job-1"])
        await eventually(lambda: _count(client, webhook, at_least=2))
        _, first = await attempts(client, webhook)

    assert heard[1] - heard[0] > 0.8
    assert first["status"] == 429


async def test_gone_disables_at_once_and_what_waits_is_dropped(house: House):
    async with (
        receiving(answer=lambda _: answer(410)) as receiver,
        house.http(tenant="gone") as client,
    ):
        webhook = await registered(client, receiver)
        await jobs_succeed(house, "gone", ["job-1"])
        await eventually(lambda: _is_disabled(client, webhook))
        await jobs_succeed(house, "gone", ["job-2"])
        await eventually(lambda: all_told(house))
        receiver.answer = lambda _: OK
        enabled = await client.patch(f"/v1/webhooks/{webhook['id']}", json={"enabled": True})
        await jobs_succeed(house, "gone", ["job-3"])
        await eventually(lambda: len(receiver.requests) == 2)

    assert enabled.json()["disabled_reason"] is None
    assert [about(each)[1] for each in receiver.requests] == ["job-1", "job-3"]


async def _is_disabled(client, webhook) -> str | None:
    found = await shown(client, webhook)
    return None if found["enabled"] else found["disabled_reason"]


async def test_an_endpoint_that_only_failed_for_too_long_is_disabled_and_may_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    # Long enough for two attempts on a busy machine, and for fewer than ten.
    changes = {"webhook_retry_seconds": (0.5,) * 20, "webhook_disable_seconds": 3.0}
    async with (
        run_house(tmp_path, webhook_allow_private=True, **changes) as house,
        receiving(answer=lambda _: answer(500)) as receiver,
        house.http(tenant="failing") as client,
    ):
        webhook = await registered(client, receiver)
        await jobs_succeed(house, "failing", ["job-1"])
        reason = await eventually(lambda: _is_disabled(client, webhook))
        tries = len(receiver.requests)
        await client.patch(f"/v1/webhooks/{webhook['id']}", json={"enabled": True})
        await jobs_succeed(house, "failing", ["job-2"])
        await eventually(lambda: _count(client, webhook, at_least=tries + 2))
        still = await shown(client, webhook)

    assert reason.startswith("every attempt failed since 20")
    assert tries < 10
    assert still["enabled"], "what failed before it was enabled again counts no more"
    (line,) = [each for each in caplog.records if each.message.startswith("a webhook is disabled")]
    assert line.fields == {"webhook_id": webhook["id"], "tenant": "failing"}


async def test_a_redirect_is_a_refusal_and_is_not_followed(house: House):
    async with receiving() as elsewhere:
        to = f"location: {elsewhere.url}"
        async with (
            receiving(answer=lambda _: answer(307, to)) as receiver,
            house.http(tenant="moved") as client,
        ):
            webhook = await registered(client, receiver)
            await client.post(f"/v1/webhooks/{webhook['id']}/test")
            await eventually(lambda: _count(client, webhook, at_least=1))
            (attempt,) = await attempts(client, webhook)

    assert (attempt["outcome"], attempt["status"]) == ("refused", 307)
    assert elsewhere.requests == []


async def test_events_that_are_read_again_are_not_told_again(house: House):
    async with receiving() as receiver, house.http(tenant="again") as client:
        await registered(client, receiver)
        await jobs_succeed(house, "again", ["job-1", "job-2"])
        await eventually(lambda: len(receiver.requests) == 2)
        # As when a gateway dies after it wrote what is due and before it said so.
        await house.bus._link.js.delete_consumer("JOBS", "gateway-webhook-jobs")
        await jobs_succeed(house, "again", ["job-3"])
        await eventually(lambda: len(receiver.requests) == 3)
        await eventually(lambda: all_told(house))

    assert [about(request)[1] for request in receiver.requests] == ["job-1", "job-2", "job-3"]


async def test_endpoints_that_never_answer_delay_nobody_else(house: House):
    names = [f"job-{number}" for number in range(10)]
    async with (
        receiving(answer=lambda _: None) as silent,
        receiving() as receiver,
        house.http(tenant="heard") as client,
    ):
        for tenant in ("silent-1", "silent-2", "silent-3", "silent-4", "silent-5"):
            owner = house.http(tenant=tenant)
            for _ in range(4):
                await registered(owner, silent)
            await jobs_succeed(house, tenant, names)
        await eventually(lambda: len(silent.requests) >= 20)
        await registered(client, receiver)
        turns = count()

        async def all_are_heard() -> None:
            turn = next(turns)
            mine = {f"{name}-{turn}" for name in names}
            await jobs_succeed(house, "heard", sorted(mine))
            await eventually(lambda: mine <= {about(each)[1] for each in receiver.requests})

        # Less than one of the silent ones is waited for.
        assert await is_once_done(all_are_heard, within=5)
