"""Strangers never take the last process that knows the trusted."""

import asyncio
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from tokenization.bounded.lanes import LOAD, STRANGERS, TRIAL, TRUSTED, Job, Slot, free_slot

FOLDER = "model"
PROCESS: Any = SimpleNamespace(open=frozenset({FOLDER}), stands_back=False)


@pytest.mark.parametrize("states", [*product([None, LOAD, TRIAL, TRUSTED, "away"], repeat=3)])
async def test_a_process_is_left_to_the_trusted(states: tuple[str | None, ...]) -> None:
    slots = [Slot(None, settled=False) if it == "away" else Slot(PROCESS, busy=it) for it in states]
    result = asyncio.get_running_loop().create_future()
    for lane in STRANGERS:
        job = Job("rival", FOLDER, {"do": "prompt"}, 0, result, None, 0.0)
        slot = free_slot(job, lane, slots, 0)
        if slot is not None:
            others = [it for it in slots if it is not slot and it.process]
            assert any(it.busy not in STRANGERS for it in others)
            assert all(it.busy != lane for it in slots)
