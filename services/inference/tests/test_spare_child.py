"""The spare child of the reference engine, with real processes and a real tiny model."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from modelmill_inference.adapters import transformers
from modelmill_inference.adapters.spare_child import SpareChild
from modelmill_inference.adapters.transformers import TransformersKind, TransformersOptions
from modelmill_testkit.processes import children_that_run
from modelmill_testkit.waiting import eventually

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

WARM_SECONDS = 240.0
"""Imports take four seconds of CPU, at low priority on what may be a busy machine."""


@contextlib.asynccontextmanager
async def kept(spare: SpareChild) -> AsyncIterator[None]:
    """Run it as the service does; nothing is left behind."""
    keeping = asyncio.create_task(spare.run())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert not children()


def children() -> list[psutil.Process]:
    """Those of the engine; others of this process belong to other tests."""
    return children_that_run(transformers.MODULE)


def only_child() -> psutil.Process | None:
    found = children()
    return found[0] if len(found) == 1 else None


@pytest.mark.real_starts
async def test_a_model_is_loaded_by_the_warm_child_and_another_takes_its_place(
    llama_folder: Path,
) -> None:
    spare = SpareChild(transformers.MODULE)
    kind = TransformersKind(TransformersOptions(threads=1), spare=spare)
    async with kept(spare):
        await eventually(lambda: spare.is_warm, within=WARM_SECONDS)
        warm = only_child()
        assert warm is not None
        engine = kind.engine_for(llama_folder, frozenset())
        try:
            await engine.load()
            assert engine.pid == warm.pid
            # Its import was polite; what it computes now is not.
            assert warm.nice() == psutil.Process().nice()
            await eventually(lambda: len(children()) == 2)
        finally:
            await engine.close()


@pytest.mark.tier("drills")
async def test_a_spare_that_dies_is_replaced() -> None:
    spare = SpareChild(transformers.MODULE)
    async with kept(spare):
        await eventually(lambda: spare.is_warm, within=WARM_SECONDS)
        first = only_child()
        assert first is not None
        first.send_signal(signal.SIGKILL)
        await eventually(lambda: (now := only_child()) is not None and now.pid != first.pid)


async def test_a_spare_that_is_discarded_does_not_come_again() -> None:
    spare = SpareChild(transformers.MODULE)
    async with kept(spare):
        await eventually(lambda: only_child() is not None)
        await spare.discard()
        assert spare.resident_bytes() == 0
        assert await spare.take() is None
        await eventually(lambda: not children())
