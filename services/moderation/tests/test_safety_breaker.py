"""A content-safety service that keeps failing is left alone, and asked when it may be well."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from modelmill_moderation.adapters.safety_http import AT_ONCE
from modelmill_moderation.adapters.safety_service import (
    BREAKER_FAILURES,
    BREAKER_SECONDS,
    SafetyService,
)
from modelmill_moderation.domain.judge_answers import Failure
from modelmill_testkit.waiting import eventually
from moderation_support.safety_client import Clock, failure_of, service_at
from moderation_support.safety_server import SafetyServer, hang, serving, status


@dataclass
class Broken:
    """A service whose breaker just opened."""

    server: SafetyServer
    service: SafetyService
    clock: Clock

    async def failure(self) -> Failure:
        return await failure_of(self.service)


@asynccontextmanager
async def broken() -> AsyncIterator[Broken]:
    server, clock = SafetyServer(always=status(503)), Clock()
    async with (
        serving(server) as url,
        service_at(url, clock=clock, attempts=1, timeout_seconds=5) as (service, _),
    ):
        for _ in range(BREAKER_FAILURES):
            assert await failure_of(service) is Failure.BROKEN
        yield Broken(server, service, clock)


async def test_a_service_that_keeps_failing_is_left_alone_then_tried_by_one() -> None:
    async with broken() as it:
        assert await it.failure() is Failure.BREAKER_OPEN
        it.clock.now = BREAKER_SECONDS
        assert await it.failure() is Failure.BROKEN
        assert await it.failure() is Failure.BREAKER_OPEN
        assert len(it.server.texts) == BREAKER_FAILURES + 1

        it.clock.now *= 2
        it.server.always = None
        await it.service.scores("it is well again")
        await it.service.scores("and so it is")


async def test_a_trial_whose_caller_leaves_lets_another_try() -> None:
    async with broken() as it:
        it.clock.now, it.server.always = BREAKER_SECONDS, hang
        trial = asyncio.create_task(it.service.scores("a trial"))
        await eventually(lambda: it.server.texts[-1] == "a trial")
        assert await it.failure() is Failure.BREAKER_OPEN
        trial.cancel()
        await asyncio.gather(trial, return_exceptions=True)
        it.server.always = None
        await it.service.scores("another trial")


async def test_a_service_that_sends_retry_after_is_not_called_for_that_long() -> None:
    async with broken() as it:
        it.server.always = status(429, retry_after="30")
        it.clock.now = BREAKER_SECONDS
        assert await it.failure() is Failure.BUSY
        it.clock.now += 29
        assert await it.failure() is Failure.BREAKER_OPEN
        it.clock.now += 1
        assert await it.failure() is Failure.BUSY


@pytest.mark.tier("check")
async def test_hundreds_of_timed_out_requests_leave_capacity_for_later_ones() -> None:
    server, clock = SafetyServer(always=hang), Clock()
    async with (
        serving(server) as url,
        service_at(url, clock=clock, timeout_seconds=6) as (service, _),
    ):
        waiting = [failure_of(service, f"text {number}") for number in range(4 * AT_ONCE)]
        assert set(await asyncio.gather(*waiting)) == {Failure.TIMEOUT}
        server.always, clock.now = None, BREAKER_SECONDS
        await service.scores("a trial")
        well = [service.scores(f"well {number}") for number in range(AT_ONCE)]
        assert len(await asyncio.gather(*well)) == AT_ONCE


async def test_texts_that_a_service_rejects_do_not_open_its_circuit_breaker() -> None:
    server = SafetyServer(always=status(400))
    async with serving(server) as url, service_at(url) as (service, _):
        for _ in range(2 * BREAKER_FAILURES):
            assert await failure_of(service) is Failure.REFUSED
        server.always = None
        await service.scores("another text")
