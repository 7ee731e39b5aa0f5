"""More than an engine can do, through real sockets: who is refused or answered, what stops."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from modelmill_bus.read_model import SHARED_TENANT
from modelmill_service_kit.errors import DomainError, TooLargeError
from modelmill_service_kit.grpc_client import domain_errors
from modelmill_testkit.processes import children_that_run
from modelmill_testkit.waiting import eventually
from prometheus_client import REGISTRY

from .support import Answer, Service, nats_and_inference

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

# Few at a time, so that requests come faster than they are answered on any machine.
RUNNING, WAITING = 4, 192
STREAMS = RUNNING + WAITING // 2
"""What one tenant can have at a time."""
LIMITS = {"engine_max_sequences": RUNNING, "max_waiting": WAITING}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    artifact_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    folder = tmp_path_factory.mktemp("nats")
    async with nats_and_inference(folder, artifact_root, **LIMITS) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def version(service: Service, digest: str) -> str:
    version_id = await service.announce(digest, tenant=SHARED_TENANT)
    await service.load_when_known(version_id)
    return version_id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def endless(service: Service, version: str) -> str:
    """A prompt whose answer goes on: most of the tiny model's end after a few tokens."""
    for number in range(200):
        answer = await service.answer(version, text=f"a {number}", max_new_tokens=300)
        if answer.end.finish_reason == "length":
            return f"a {number}"
    raise AssertionError("every answer ends by itself")


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def is_at_rest(version: str) -> bool:
    names = (
        "modelmill_requests_in_flight",
        "modelmill_requests_queued",
        "modelmill_admitted_tokens",
    )
    return not any(figure(name, version=version) for name in names)


async def engines_rest() -> bool:
    """Whether engine processes took no CPU for a moment."""

    def spent() -> float:
        engines = children_that_run("modelmill_inference.children")
        assert engines
        return sum(sum(one.cpu_times()[:2]) for one in engines)

    before = spent()
    await asyncio.sleep(0.1)
    return spent() == before


async def timed(
    service: Service, version: str, **wanted: Any
) -> tuple[Answer | DomainError, float]:
    """What came of it, and after how many seconds."""
    began = time.monotonic()
    try:
        outcome: Answer | DomainError = await service.answer(version, **wanted)
    except DomainError as error:
        outcome = error
    return outcome, time.monotonic() - began


async def test_under_overload_some_are_refused_quickly_and_the_others_are_answered(
    service: Service, version: str, endless: str
) -> None:
    asked = [
        asyncio.create_task(timed(service, version, text=endless, max_new_tokens=250))
        for _ in range(STREAMS + 30)
    ]
    await eventually(lambda: figure("modelmill_requests_queued", version=version) > RUNNING)
    other = asyncio.create_task(
        timed(service, version, text=endless, tenant="other", max_new_tokens=250)
    )
    outcomes = await asyncio.gather(*asked)
    answered = [seconds for outcome, seconds in outcomes if isinstance(outcome, Answer)]
    refused = [seconds for outcome, seconds in outcomes if not isinstance(outcome, Answer)]

    # Some may have come when others had ended.
    assert len(answered) >= STREAMS
    assert refused
    assert {outcome.reason for outcome, _ in outcomes if isinstance(outcome, DomainError)} == {
        "QUEUE_FULL"
    }
    # The machine of the tests may be busy; what is shown is that nobody waits to be refused.
    assert max(refused) < max(answered) / 2
    outcome, seconds = await other
    assert isinstance(outcome, Answer)
    assert seconds < max(answered) / 2
    await eventually(lambda: is_at_rest(version))


async def test_a_request_that_no_engine_has_room_for_is_refused_with_the_limit(
    service: Service, version: str
) -> None:
    request = service.request(version, text="a", max_new_tokens=4)
    request.answers = RUNNING

    with domain_errors():
        ends = [part.end async for part in service.stub.Generate(request, timeout=30)]
    assert sum(end.version_id == version for end in ends) == RUNNING

    request.answers = RUNNING + 1
    with pytest.raises(TooLargeError, match=f"the limit is {RUNNING}$"), domain_errors():
        await service.stub.Generate(request, timeout=30).read()
    request.options.max_new_tokens = 511
    with pytest.raises(TooLargeError, match=f"the limit is {RUNNING * 512}"), domain_errors():
        await service.stub.Generate(request, timeout=30).read()


async def test_a_hundred_streams_that_are_dropped_leave_nothing_behind(
    service: Service, version: str, endless: str
) -> None:
    requests = [service.request(version, text=endless) for _ in range(STREAMS)]
    streams = [service.stub.Generate(request, timeout=600) for request in requests]
    # On a busy machine many have ended when the last one comes.
    in_hand = 0.8 * STREAMS
    await eventually(lambda: figure("modelmill_requests_in_flight", version=version) > in_hand)
    generated = figure("modelmill_engine_tokens_total", engine="openvino")

    for stream in streams:
        stream.cancel()

    await eventually(lambda: is_at_rest(version))
    await eventually(engines_rest)
    # Whole answers would be tens of thousands of tokens.
    more = figure("modelmill_engine_tokens_total", engine="openvino") - generated
    assert more < STREAMS * 50
    await service.answer(version, text="there is room again", max_new_tokens=1)
