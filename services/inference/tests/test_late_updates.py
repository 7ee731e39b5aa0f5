"""A version can be asked for as soon as it is announced, wherever this replica is in the stream."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY

from .support import nats_and_inference


async def test_a_replica_that_is_behind_finds_what_is_announced(
    tmp_path: Path, artifact_root: Path, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, follow, newest = asyncio.Event(), Bus.follow, Bus.newest_sequence

    async def late_follow(bus: Bus, subjects: Any, *args: Any, **more: Any) -> Any:
        async for stored in follow(bus, subjects, *args, **more):
            if stored.subject == MODEL_READY:
                await asked.wait()
            yield stored

    async def newest_sequence(bus: Bus, subjects: str) -> int:
        found = await newest(bus, subjects)
        asked.set()
        return found

    monkeypatch.setattr(Bus, "follow", late_follow)
    monkeypatch.setattr(Bus, "newest_sequence", newest_sequence)
    async with nats_and_inference(tmp_path, artifact_root) as service:
        version_id = await service.announce(digest)
        answer = await service.answer(version_id, text="Hello", max_new_tokens=2)

    assert answer.pieces
