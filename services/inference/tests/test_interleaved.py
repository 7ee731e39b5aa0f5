"""Several answers read as one stream."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_inference.generate_text import interleaved
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio


class Source:
    """Counts from 0; sees how far it got and whether it was closed."""

    def __init__(self, name: str, items: int, *, failure: BaseException | None = None) -> None:
        self.name = name
        self.given = 0
        self.closed = False
        self._items = items
        self._failure = failure

    async def run(self) -> AsyncGenerator[tuple[str, int], None]:
        try:
            for number in range(self._items):
                await asyncio.sleep(0)
                self.given += 1
                yield (self.name, number)
            if self._failure is not None:
                raise self._failure
        finally:
            await asyncio.sleep(0)
            self.closed = True


def tasks() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5))
async def test_every_item_comes_once_and_those_of_a_source_in_their_order(
    lengths: list[int],
) -> None:
    sources = [Source(str(place), length) for place, length in enumerate(lengths)]

    got = [item async for item in interleaved([source.run() for source in sources])]

    for source, length in zip(sources, lengths, strict=True):
        assert [n for name, n in got if name == source.name] == list(range(length))
        assert source.closed
    assert not tasks()


async def test_sources_take_turns() -> None:
    sources = [Source("a", 50), Source("b", 50)]

    got = [name async for name, _ in interleaved([source.run() for source in sources])]

    assert 10 <= got[:50].count("a") <= 40


@pytest.mark.parametrize("items", [0, 1, 3])
@pytest.mark.parametrize(
    "failure", [UnavailableError("the engine died"), asyncio.CancelledError("from within")]
)
async def test_an_error_of_one_comes_out_and_closes_all(items: int, failure: BaseException) -> None:
    sources = [Source("a", items, failure=failure), Source("b", 10**9), Source("c", 10**9)]

    with pytest.raises(type(failure)):
        async for _ in interleaved([source.run() for source in sources]):
            pass

    assert all(source.closed for source in sources)
    assert not tasks()


async def test_the_items_before_an_error_come_out_before_it() -> None:
    sources = [Source("a", 3, failure=UnavailableError("died")), Source("b", 0)]
    got = []

    async def read() -> None:
        async for item in interleaved([source.run() for source in sources]):
            got.append(item)
            # A reader that is busy elsewhere, while the source runs on and fails.
            for _ in range(20):
                await asyncio.sleep(0)

    with pytest.raises(UnavailableError):
        await read()

    assert got == [("a", 0), ("a", 1), ("a", 2)]


@pytest.mark.parametrize("after", [1, 5])
async def test_leaving_early_closes_all(after: int) -> None:
    sources = [Source(name, 10**9) for name in "abc"]

    async with aclosing(interleaved([source.run() for source in sources])) as items:
        for _ in range(after):
            await anext(items)

    assert all(source.closed for source in sources)
    assert not tasks()


async def test_a_reader_that_is_cancelled_closes_all() -> None:
    sources = [Source(name, 10**9) for name in "ab"]

    async def read() -> None:
        async with aclosing(interleaved([source.run() for source in sources])) as items:
            async for _ in items:
                pass

    reading = asyncio.create_task(read())
    await eventually(lambda: all(source.given for source in sources))
    reading.cancel()
    await asyncio.wait([reading])

    assert reading.cancelled()
    assert all(source.closed for source in sources)
    assert not tasks()


async def test_sources_run_ahead_of_a_slow_reader_by_a_few_items_only() -> None:
    sources = [Source(name, 10**9) for name in "abc"]

    async with aclosing(interleaved([source.run() for source in sources])) as items:
        await anext(items)
        for _ in range(200):
            await asyncio.sleep(0)
        assert sum(source.given for source in sources) <= 1 + 2 * len(sources)
