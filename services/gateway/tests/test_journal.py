"""A process may die between any two stores: what its requests used is counted once."""

import asyncio
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from modelmill_gateway.adapters.journal import open_journal
from modelmill_gateway.domain.ledger.budget import Price, Prices, Settled
from modelmill_gateway.domain.ledger.slots import NoRoomError, Size, Slots

SIZE = Size(accounts=4, slots=4)
PRICE = Price(prompt=1_000_000, answer=2_000_000)


class DiedError(Exception):
    """The process is no more."""


class Words(list[int]):
    """Memory of a process that dies before a store."""

    def __init__(self) -> None:
        super().__init__([0] * SIZE.words)
        self.stores_left = sys.maxsize

    def __setitem__(self, at, word):  # type: ignore[no-untyped-def]
        if self.stores_left == 0:
            raise DiedError
        self.stores_left -= 1
        super().__setitem__(at, word)


def life(words: Words) -> None:
    """Two requests overlap; the second is still open at the end."""
    slots = Slots(words, SIZE)
    slots.recover()
    first = slots.begin(["key-1", "tenant-1"], 10, PRICE)
    second = slots.begin(["key-2", "maker-2", "tenant-1"], 20, PRICE)
    first.asked()
    first.prompt(7)
    first.delivered(3)
    first.settle()
    second.asked()
    second.delivered(1)


def counted(words: Words) -> list[Settled]:
    words.stores_left = sys.maxsize
    slots = Slots(words, SIZE)
    slots.recover()
    return [slots.settled(name) for name in ("key-1", "key-2", "maker-2", "tenant-1")]


def stores_of_a_life() -> int:
    words = Words()
    words.stores_left = 10_000
    life(words)
    return 10_000 - words.stores_left


@pytest.mark.parametrize("died_after", range(stores_of_a_life() + 1))
def test_whenever_it_dies_each_request_counts_once_with_what_it_used(died_after: int):
    words = Words()
    words.stores_left = died_after
    with suppress(DiedError):
        life(words)

    for death in range(80):  # the one that recovers may die as well, anywhere
        words.stores_left = death
        try:
            slots = Slots(words, SIZE)
            slots.recover()
        except DiedError:
            continue
        break
    first, second, makers, both = counted(words)

    assert (makers.tokens, makers.micros) == (second.tokens, second.micros)
    assert both.tokens == first.tokens + second.tokens
    assert both.micros == first.micros + second.micros
    assert first.tokens in (0, 10, 7, 10)
    assert second.tokens in (0, 20, 21)
    assert first.micros in (0, 10, 7, 13)
    if died_after == stores_of_a_life():
        assert (first.tokens, second.tokens, both.requests) == (10, 21, 2)
        assert (first.micros, second.micros) == (7 + 3 * 2, 20 + 2)


def test_what_was_counted_is_never_lost_by_a_later_death():
    words = Words()
    life(words)
    before = counted(words)

    words.stores_left = 11
    with pytest.raises(DiedError):
        life(words)
    after = counted(words)

    assert all(one.tokens >= other.tokens for one, other in zip(after, before, strict=True))


def test_a_request_for_which_no_engine_was_asked_costs_nothing():
    slots = Slots(Words(), SIZE)
    slots.recover()

    assert slots.begin(["key-1"], 10, PRICE).settle() == (0, 0)


def test_there_are_no_more_requests_at_a_time_than_slots():
    slots = Slots(Words(), SIZE)
    slots.recover()
    open_ones = [slots.begin(["key-1"], 1, PRICE) for _ in range(SIZE.slots)]

    with pytest.raises(NoRoomError):
        slots.begin(["key-1"], 1, PRICE)
    open_ones[0].settle()
    slots.begin(["key-1"], 1, PRICE)


def test_two_processes_never_share_a_journal(tmp_path: Path):
    with open_journal(tmp_path, SIZE) as first, open_journal(tmp_path, SIZE) as second:
        assert first.holder_id != second.holder_id
        name = first.holder_id

    with open_journal(tmp_path, SIZE) as again:
        assert again.holder_id == name


async def test_a_killed_process_is_counted_by_the_next_one(tmp_path: Path):
    code = f"""
import sys, time
from pathlib import Path
from modelmill_gateway.adapters.journal import open_journal
from modelmill_gateway.domain.ledger.budget import Price
with open_journal(Path({str(tmp_path)!r})) as journal:
    slot = journal.slots.begin(["key-1"], 100, Price(1000000, 0))
    slot.asked()
    slot.prompt(40)
    slot.delivered(2)
    print(journal.holder_id, flush=True)
    time.sleep(60)
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    name = (await process.stdout.readline()).decode().strip()
    process.send_signal(signal.SIGKILL)
    await process.wait()

    with open_journal(tmp_path) as journal:
        assert journal.holder_id == name
        assert journal.recovered == 1
        assert journal.slots.settled("key-1") == Settled(1, 42, 40)


def test_prices_are_whole_millionths_and_the_first_name_counts():
    prices = Prices({"big": ("2.5", "10"), "*": ("0.000001", "0")})

    assert prices.of("mine", "big") == Price(2_500_000, 10_000_000)
    assert prices.of("other") == Price(1, 0)
    assert Price(1, 0).cost(1, 0) == 1
    assert Price(2_500_000, 10_000_000).cost(3, 2) == 28
    for wrong in ("a lot", "-1", "0.0000001", "NaN", "Infinity"):
        with pytest.raises(ValueError, match="price"):
            Prices({"big": (wrong, "0")})


SMALL_DISK = """
import errno, sys
from pathlib import Path
from modelmill_gateway.adapters.journal import open_journal
from modelmill_gateway.domain.ledger.slots import Size

try:
    with open_journal(Path(sys.argv[1]), Size(accounts=100_000, slots=100_000)) as journal:
        print("opened")
except OSError as error:
    print(errno.errorcode[error.errno])
"""


def test_a_journal_for_which_the_disk_has_no_room_is_an_error_and_no_crash_later(tmp_path: Path):
    """On a real small disk, where this user may mount one; else by the length of files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    limit = [] if mounted else ["prlimit", "--fsize=262144"]
    try:
        command = [*limit, sys.executable, "-c", SMALL_DISK, str(disk / "journals")]
        ran = subprocess.run(command, capture_output=True, text=True)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
    assert (ran.returncode, ran.stdout.strip()) in ((0, "ENOSPC"), (0, "EFBIG")), ran.stderr
