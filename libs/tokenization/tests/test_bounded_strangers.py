"""Strangers run apart from the trusted, and what takes long takes what others leave."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from modelmill_service_kit.errors import DomainError, OverloadedError
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.tool_templates import HERMES
from modelmill_testkit.waiting import eventually
from modelmill_tokenization.bounded import Limits
from modelmill_tokenization.bounded.pool import TokenizerPool
from modelmill_tokenization.bounded.refusals import PROVEN_AFTER

from .bounded_pools import BOOM, HELLO, proven, running

pytestmark = [pytest.mark.tier("test"), pytest.mark.real_starts]


async def test_the_trusted_do_not_wait_for_strangers(good: Path, endless: Path) -> None:
    limits = Limits(cpu_seconds=60.0, trial_cpu_seconds=60.0, seconds=200.0)
    async with running(limits) as (pool, figures):
        await proven(pool, figures, "acme", good)
        worked = figures.counts["worked"]
        asked = asyncio.create_task(pool.encode_prompt("rival", endless, BOOM, []))
        # Read and loaded: what does not end has begun.
        await eventually(lambda: figures.counts["worked"] == worked + 2, within=60)
        for _ in range(3):
            assert await pool.encode_prompt("acme", good, HELLO, [])
        assert not asked.done()
        asked.cancel()


def priorities() -> dict[int, list[int]]:
    """Of the threads of each process."""
    found = dict[int, list[int]]()
    for child in psutil.Process().children():
        found[child.pid] = []
        for thread in child.threads():
            with suppress(ProcessLookupError):  # it may have ended meanwhile
                found[child.pid].append(os.getpriority(os.PRIO_PROCESS, thread.id))
    return {pid: sorted(of_it) for pid, of_it in found.items()}


async def test_a_slow_request_runs_on_at_a_low_priority_and_the_next_one_does_not(
    tmp_path: Path,
) -> None:
    slow = "{% if messages[-1].content == 'boom' %}" + "{% for i in range(2999) %}" * 2
    folder = make_tiny_llama(
        tmp_path, chat_template=f"{slow}{'{% endfor %}' * 2}{{% endif %}}{{{{ messages }}}}"
    )
    own = os.getpriority(os.PRIO_PROCESS, 0)
    limits = Limits(cpu_seconds=60.0, trial_cpu_seconds=60.0, seconds=200.0)
    async with running(limits) as (pool, _):
        await pool.open("acme", folder)
        before = priorities()
        asked = asyncio.create_task(pool.encode_prompt("acme", folder, BOOM, []))
        await eventually(lambda: max(it[-1] for it in priorities().values()) > own)
        await asked
        await pool.encode_prompt("acme", folder, HELLO, [])
        await pool.encode_prompt("acme", folder, HELLO, [])
        # The thread that was lowered is gone, and no process.
        assert {it for of_it in before.values() for it in of_it} == {own}
        await eventually(lambda: priorities() == before)


async def test_a_large_tokenizer_stays_loaded(tmp_path: Path) -> None:
    folder = make_tiny_llama(tmp_path, chat_template=HERMES)
    file = folder / "tokenizer.json"
    document = json.loads(file.read_text("utf-8"))
    vocabulary = document["model"]["vocab"]
    vocabulary |= {f"w{number}": len(vocabulary) + number for number in range(300_000)}
    file.write_text(json.dumps(document), "utf-8")
    async with running(Limits(seconds=200.0)) as (pool, figures):
        opened = await pool.open("acme", folder)
        before = {child.pid for child in psutil.Process().children()}
        for _ in range(5):
            await opened.prompts.encode_prompt("acme", HELLO)
        after = {child.pid for child in psutil.Process().children()}
    assert figures.counts["worked"] > 5
    assert after == before


@contextmanager
def busy_machine() -> Iterator[None]:
    """Every core has something else to do."""
    loop = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(loop) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


async def attack(pool: TokenizerPool, tenant: str, folder: Path) -> None:
    while True:
        with suppress(DomainError):
            await pool.encode_prompt(tenant, folder, BOOM, [])
        await asyncio.sleep(0.02)


@pytest.mark.tier("drills")  # it floods the machine
async def test_a_new_model_answers_beside_hostile_ones_on_a_busy_machine(
    good: Path, endless: Path, tmp_path: Path
) -> None:
    """With the limits of services. At first only who runs is waited for, and then each in turn."""
    folders = [tmp_path / f"hostile-{number}" for number in range(4)]
    for folder in folders:
        folder.symlink_to(endless)
    async with running(Limits()) as (pool, figures):

        async def others_before(asked: Callable[[], Awaitable[object]]) -> int:
            """How many requests of others began between its own and its answer."""
            while True:
                began = figures.counts["begun"]
                # Of a core it may get less than it needs, and is told to come again.
                with suppress(OverloadedError):
                    await asked()
                    return figures.counts["begun"] - began - 1

        with busy_machine():
            attacks = [asyncio.create_task(attack(pool, f.name, f)) for f in folders]
            await eventually(lambda: figures.counts["begun"] > len(folders), within=60)
            before = [await others_before(lambda: pool.open("acme", good))]
            for _ in range(PROVEN_AFTER):
                before.append(
                    await others_before(lambda: pool.encode_prompt("acme", good, HELLO, []))
                )
            for it in attacks:
                it.cancel()
            await asyncio.gather(*attacks, return_exceptions=True)
    # Another may begin while it is told to come again.
    assert before[0] <= 2, before
    assert max(before) <= 2 * len(folders), before
