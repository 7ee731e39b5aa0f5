"""Foreign templates and tokenizers run within limits; nobody waits for those that do not end."""

import asyncio
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest
from modelmill_service_kit.errors import DomainError, OverloadedError
from modelmill_testkit.cancelling import cancelled_after
from modelmill_testkit.hostile_models import X_TRIGGER, make_hostile
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.waiting import eventually
from modelmill_tokenization import ChatTokenizer, Function
from modelmill_tokenization.bounded import LimitError, Limits
from modelmill_tokenization.bounded.pool import TokenizerPool

from .bounded_pools import BOOM, ENDLESS, HELLO, LIMITS, Figures, proven, running

pytestmark = [pytest.mark.tier("test"), pytest.mark.real_starts]

TOOL: Function = {
    "name": "look_up",
    "description": "Looks up.",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
}


async def test_ids_and_texts_are_those_of_the_tokenizer_itself(good: Path) -> None:
    own = ChatTokenizer.load(good)
    texts = ["", "a thing", "价格 🙂\n" * 30, "<|im_start|>"]
    async with running() as (pool, _):
        opened = await pool.open("acme", good)
        asked = opened.prompts.encode_prompt
        assert await asked("acme", HELLO) == own.encode_prompt(HELLO)
        assert await asked("acme", HELLO, [TOOL]) == own.encode_prompt(HELLO, [TOOL])
        assert await opened.prompts.encode("acme", texts) == own.encode_batch(texts)
    assert opened.decoder.facts == own.facts
    assert opened.decoder.tool_marks.by_id == own.tool_marks.by_id
    for token in range(-1, own.vocab_size + 1):
        assert opened.decoder.token_bytes(token) == own.token_bytes(token)
    for text in texts:
        ids = own.encode(text)
        assert opened.decoder.decode(ids) == own.decode(ids)


@pytest.mark.parametrize(
    ("every", "stopped"), [(4, 2), pytest.param(1, 5, marks=pytest.mark.tier("drills"))]
)
async def test_hostile_models_end_and_nobody_waits_for_them(
    good: Path, tmp_path: Path, every: int, stopped: int
) -> None:
    """Each alone is stopped or answers; beside a quarter of the forty, or all, another tenant is
    served."""
    before: list[int] = []

    async def other(pool: TokenizerPool, figures: Figures) -> None:
        """Count requests of others that began between its own and its answer: on a busy machine
        seconds say nothing."""
        while True:
            began = figures.counts["begun"]
            await pool.encode_prompt("acme", good, HELLO, [])
            before.append(figures.counts["begun"] - began - 1)
            await asyncio.sleep(0.005)

    async with running() as (pool, figures):
        await pool.open("acme", good)
        beside = asyncio.create_task(other(pool, figures))
        folders = dict([*make_hostile(tmp_path).items()][::every])
        ends = await asyncio.gather(
            *(attacked(pool, f"rival-{n % 3}", it) for n, it in enumerate(folders.values()))
        )
        assert not beside.done(), beside.result()
        beside.cancel()
        await eventually(lambda: figures.processes[-1] == 3)
    ended = dict(zip(folders, ends, strict=True))
    assert not [name for name, kinds in ended.items() if "no clear line" in kinds]
    harmless = [name for name, kinds in ended.items() if kinds == {"answered"}]
    assert not [name for name in harmless if not name.startswith("tokenizer: ")]
    assert figures.counts["stopped"] >= stopped
    # Once the other tenant is trusted there is always a process that is not busy with a stranger.
    assert sorted(before)[len(before) // 2] == 0, before


async def attacked(pool: TokenizerPool, tenant: str, folder: Path) -> set[str]:
    """How the three attempts of one hostile model ended."""
    ends = set[str]()
    attempts = [
        lambda: pool.open(tenant, folder),
        lambda: pool.encode_prompt(tenant, folder, BOOM, []),
        lambda: pool.encode_prompt(tenant, folder, [{"role": "user", "content": X_TRIGGER}], []),
    ]
    for attempt in attempts:
        try:
            await attempt()
            ends.add("answered")
        except DomainError as error:
            ends.add("no clear line" if "\n" in error.message else type(error).__name__)
    return ends


async def test_a_version_that_passed_its_limit_is_refused_for_a_growing_while(
    endless: Path,
) -> None:
    now = [0.0]
    figures = Figures()
    async with TokenizerPool(LIMITS, figures, clock=lambda: now[0]) as pool:
        await pool.open("acme", endless)
        refused_for = []
        for _ in range(4):
            with pytest.raises(LimitError, match=r"more than 0\.25 s of CPU time"):
                await pool.encode_prompt("acme", endless, BOOM, [])
            begun = figures.counts["begun"]
            with pytest.raises(OverloadedError, match="is not run for") as refused:
                await pool.encode_prompt("acme", endless, HELLO, [])
            assert figures.counts["begun"] == begun
            refused_for.append(refused.value.retry_after_seconds)
            # Another tenant is not held to what this one sent.
            assert await pool.encode_prompt("other", endless, HELLO, [])
            now[0] += refused_for[-1]
        assert refused_for == [1, 2, 4, 8]
        assert await pool.encode_prompt("acme", endless, HELLO, [])
    assert figures.counts["refused"] == 4
    assert figures.counts["stopped"] == 4


async def test_cpu_time_is_bounded_for_a_tenant_however_many_versions_it_has(
    tmp_path: Path,
) -> None:
    folder = make_tiny_llama(tmp_path / "model", chat_template=ENDLESS)
    limits, figures, now = Limits(seconds=30.0), Figures(), [0.0]
    async with TokenizerPool(limits, figures, clock=lambda: now[0]) as pool:
        ends = Counter[str]()
        for number in range(14):
            copy = tmp_path / f"copy-{number}"
            copy.symlink_to(folder)
            try:
                await pool.encode_prompt("rival", copy, BOOM, [])
            except DomainError as error:
                ends[type(error).__name__] += 1
        assert ends == {"LimitError": 5, "OverloadedError": 9}
        assert await pool.encode_prompt("acme", tmp_path / "copy-0", HELLO, [])
        now[0] += 10.0
        assert await pool.encode_prompt("rival", copy, HELLO, [])


async def test_what_is_proven_is_loaded_again_in_a_process_that_takes_the_place_of_another(
    good: Path,
) -> None:
    async with running() as (pool, figures):
        strangers, *trusted = figures.children()
        await proven(pool, figures, "acme", good)
        for child in trusted:
            child.kill()
        await eventually(lambda: figures.counts["worked"] == 9 + 4, within=60)
        strangers.suspend()
        # Only new ones can answer, and at once.
        assert await pool.encode_prompt("acme", good, HELLO, [])
        strangers.resume()


async def test_a_request_outlives_every_process_that_is_killed_under_it(good: Path) -> None:
    async with running() as (pool, figures):
        await proven(pool, figures, "acme", good)
        strangers, *trusted = figures.children()
        for child in (*trusted, strangers):
            child.suspend()
        asked = asyncio.create_task(pool.encode_prompt("acme", good, HELLO, []))
        await eventually(lambda: figures.counts["begun"] == 6)
        for child in (*trusted, strangers):
            told = len(figures.processes)
            child.kill()
            await eventually(lambda told=told: len(figures.processes) > told)
        assert await asked
    assert not figures.counts["stopped"]


async def test_a_caller_that_leaves_costs_nobody_anything(good: Path) -> None:
    async with running() as (pool, figures):
        await pool.open("acme", good)
        for _ in range(20):
            asked = asyncio.create_task(pool.encode_prompt("acme", good, HELLO, []))
            await asyncio.sleep(0)
            asked.cancel()
        assert await pool.encode_prompt("acme", good, HELLO, [])
        assert figures.processes[-1] == 3
        assert not figures.counts["stopped"]


ORPHANING = """
import asyncio, sys
from pathlib import Path
from modelmill_tokenization.bounded import Limits
from modelmill_tokenization.bounded.pool import TokenizerPool

class Figures:
    running = waited = worked = stopped = refused = lambda self, *_: None

async def main():
    async with TokenizerPool(Limits(), Figures()) as pool:
        await pool.open("acme", Path(sys.argv[1]))
        turns = [{"role": "user", "content": "boom"}]
        asked = asyncio.create_task(pool.encode_prompt("acme", Path(sys.argv[1]), turns, []))
        await asyncio.sleep(0.1)
        print("asked", flush=True)
        await asked

asyncio.run(main())
"""


async def test_processes_end_with_their_parent_however_it_ends(endless: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHANING, str(endless)), stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"asked\n"
    children = psutil.Process(parent.pid).children()
    assert len(children) == 3
    parent.kill()
    await parent.wait()
    await eventually(lambda: not any(child.is_running() for child in children))


@pytest.mark.parametrize("turns", [1, 2, 4])
async def test_a_pool_that_is_cancelled_while_it_starts_leaves_no_process(turns: int) -> None:
    before = set(psutil.Process().children())
    pool = TokenizerPool(LIMITS, Figures())

    assert await cancelled_after(turns, pool.__aenter__()) is None

    assert set(psutil.Process().children()) <= before


async def test_a_pool_of_which_one_process_does_not_start_leaves_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = set(psutil.Process().children())
    left = iter([True, True, False])
    whole = socket.socketpair

    def fails_in_the_end() -> tuple[socket.socket, socket.socket]:
        if not next(left, True):
            raise OSError("too many open files")
        return whole()

    monkeypatch.setattr(
        "modelmill_tokenization.bounded.process.socket.socketpair", fails_in_the_end
    )
    with pytest.raises(OSError, match="too many"):
        await TokenizerPool(LIMITS, Figures()).__aenter__()

    assert set(psutil.Process().children()) <= before
