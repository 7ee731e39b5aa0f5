"""The adapter of a content-safety service, by a clock and a sleeper that tests move."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from modelmill_moderation.adapters.safety_service import SafetyService
from modelmill_moderation.domain.judge_answers import Failure, NoOpinionError
from modelmill_moderation.safety_service_settings import SafetyServiceSettings
from modelmill_testkit.fake_inference import Sleeper

from moderation_support.safety_server import SafetyServer, serving


class Clock:
    """Stands still."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def service_at(
    url: str, *, clock: Clock | None = None, chance: float = 0.0, **settings: Any
) -> AsyncIterator[tuple[SafetyService, Sleeper]]:
    """The adapter, with a sleeper that only remembers."""
    sleeper = Sleeper()
    made = SafetyService(
        "test",
        SafetyServiceSettings(**{"url": url, "timeout_seconds": 20} | settings),
        clock=clock or Clock(),
        chance=lambda: chance,
        sleep=sleeper,
    )
    try:
        yield made, sleeper
    finally:
        await made.close()


@asynccontextmanager
async def asked(
    server: SafetyServer, **settings: Any
) -> AsyncIterator[tuple[SafetyService, Sleeper]]:
    """The adapter of a service that runs here."""
    async with serving(server) as url, service_at(url, **settings) as service:
        yield service


async def failure_of(service: SafetyService, text: str = "a text") -> Failure:
    with pytest.raises(NoOpinionError) as error:
        await service.scores(text)
    return error.value.failure
