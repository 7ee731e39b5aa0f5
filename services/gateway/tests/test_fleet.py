"""Which replica of inference is asked, and when one is asked again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from modelmill_gateway.adapters import fleet
from modelmill_gateway.adapters.fleet import ATTEMPTS, FAILURES_IN_A_ROW, Fleet
from modelmill_gateway.domain.chat import ChatCall, Embedded, End, Piece, Sampling, Turn
from modelmill_gateway.domain.errors import FullError, ModelNotFoundError
from modelmill_gateway.domain.models import AskedModel
from modelmill_service_kit.errors import (
    DomainError,
    NotFoundError,
    UnavailableError,
    UnreachableError,
)
from modelmill_testkit.waiting import eventually

CALL = ChatCall("m", (Turn("user", "hello"),), Sampling())
SAID = [Piece("a", version_id="mv"), Piece("b", End("stop"))]


class Replica:
    """Says its pieces, or fails with what stands in `fails`, before or behind the first one."""

    def __init__(self) -> None:
        self.fails: list[DomainError | None] = []
        self.fails_later: DomainError | None = None
        self.asked = 0
        self.open = 0
        self.timeouts: list[float] = []
        self.loaded: list[str] = []

    @asynccontextmanager
    async def generate(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> AsyncIterator[AsyncIterator[Piece]]:
        self.asked += 1
        self.open += 1
        self.timeouts.append(timeout)
        try:
            yield self._pieces()
        finally:
            self.open -= 1

    async def _pieces(self) -> AsyncIterator[Piece]:
        self._fail()
        yield SAID[0]
        if self.fails_later is not None:
            raise self.fails_later
        yield SAID[1]

    async def embed(
        self, texts: Sequence[str], *, tenant: str, asked: AskedModel, timeout: float
    ) -> Embedded:
        self.asked += 1
        self._fail()
        return Embedded("mv", (b"",), 1)

    async def load(self, *, tenant: str, version_id: str, timeout: float) -> None:
        self._fail()
        self.loaded.append(version_id)

    def _fail(self) -> None:
        failure = self.fails.pop(0) if self.fails else None
        if failure is not None:
            raise failure


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "PAUSE_SECONDS", 0.0)


def asking(fleet: Fleet, timeout: float = 9.0):
    return fleet.generate(CALL, tenant="t", asked=AskedModel("m"), timeout=timeout)


async def answer(fleet: Fleet, timeout: float = 9.0) -> list[Piece]:
    async with asking(fleet, timeout) as pieces:
        return [piece async for piece in pieces]


def away() -> UnreachableError:
    return UnreachableError("inference does not answer")


async def test_before_the_first_piece_another_replica_is_asked():
    first, second = Replica(), Replica()
    first.fails = [away()]
    assert await answer(Fleet([first, second])) == SAID
    assert (first.asked, second.asked, first.open, second.open) == (1, 1, 0, 0)


async def test_behind_the_first_piece_nobody_is_asked_again():
    first, second = Replica(), Replica()
    first.fails_later = UnavailableError("the engine is restarting")
    with pytest.raises(UnavailableError, match="restarting"):
        await answer(Fleet([first, second]))
    assert (first.asked, second.asked) == (1, 0)


@pytest.mark.parametrize(
    "failure", [ModelNotFoundError("no"), NotFoundError("no"), FullError("full")]
)
async def test_what_another_attempt_would_not_mend_is_not_asked_again(failure: DomainError):
    replica = Replica()
    replica.fails = [failure]
    with pytest.raises(type(failure)):
        await answer(Fleet([replica]))
    assert replica.asked == 1


async def test_one_address_is_asked_three_times_at_most():
    replica = Replica()
    replica.fails = [UnavailableError("restarting")] * 9
    with pytest.raises(UnavailableError, match="restarting"):
        await answer(Fleet([replica]))
    assert replica.asked == ATTEMPTS


async def test_attempts_share_one_deadline():
    replica = Replica()
    replica.fails = [away(), away()]
    await answer(Fleet([replica]), timeout=5.0)
    assert 5.0 >= replica.timeouts[0] > replica.timeouts[1] > replica.timeouts[2] > 4.0


async def test_attempts_are_a_tenth_of_what_succeeds_and_ten_more():
    replica = Replica()
    asked = Fleet([replica])
    answered = refused = 0
    for _ in range(200):
        # Each fails once, and a service says so: the breaker has no part in it.
        replica.fails = [UnavailableError("restarting")]
        try:
            await answer(asked)
            answered += 1
        except UnavailableError:
            refused += 1
            replica.fails = []
            await answer(asked)

    # The last of them is saved up for the next one.
    assert answered == 10 + 200 // 10 - 1
    assert replica.asked == 200 + answered + refused


async def test_an_address_where_nobody_answers_is_left_alone_then_tried_by_one():
    dead, alive = Replica(), Replica()
    asked = Fleet([dead, alive])
    dead.fails = [away()] * FAILURES_IN_A_ROW
    for _ in range(4 * FAILURES_IN_A_ROW):
        assert await answer(asked) == SAID
    assert (dead.asked, asked.left_alone) == (FAILURES_IN_A_ROW, 1)

    asked._replicas[0].breaker._open_until = 0.0  # the second is over
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await anext(await stack.enter_async_context(asking(asked)))
        assert dead.asked > FAILURES_IN_A_ROW
        assert asked.left_alone == 0


async def test_without_any_address_that_answers_the_refusal_comes_at_once():
    dead = Replica()
    asked = Fleet([dead])
    dead.fails = [away()] * 99
    for _ in range(9):
        with pytest.raises(UnreachableError):
            await answer(asked)
    assert dead.asked == FAILURES_IN_A_ROW


async def test_the_replica_with_the_fewest_answers_in_flight_is_asked():
    replicas = [Replica() for _ in range(3)]
    asked = Fleet(replicas)
    async with AsyncExitStack() as stack:
        for _ in range(6):
            await anext(await stack.enter_async_context(asking(asked)))
        assert [replica.open for replica in replicas] == [2, 2, 2]
    assert [replica.open for replica in replicas] == [0, 0, 0]


async def test_a_caller_that_leaves_says_nothing_of_the_replica_and_leaves_nothing():
    replica = Replica()
    asked = Fleet([replica])
    for _ in range(2 * FAILURES_IN_A_ROW):
        async with asking(asked) as pieces:
            await anext(pieces)
    assert (replica.open, asked._replicas[0].in_flight) == (0, 0)
    assert asked._replicas[0].breaker.is_closed


async def test_embeddings_are_asked_again_like_answers():
    first, second = Replica(), Replica()
    first.fails = [away()]
    found = await Fleet([first, second]).embed(["x"], tenant="t", asked=AskedModel("m"), timeout=9)
    assert found.version_id == "mv"
    assert (first.asked, second.asked) == (1, 1)


async def test_a_version_is_loaded_at_every_address_that_answers():
    first, second, third = Replica(), Replica(), Replica()
    second.fails = [away()]
    await Fleet([first, second, third]).load(tenant="t", version_id="mv", timeout=9)
    assert (first.loaded, second.loaded, third.loaded) == (["mv"], [], ["mv"])

    second.fails, third.fails = [away()], [NotFoundError("no engine")]
    with pytest.raises(NotFoundError):
        await Fleet([first, second, third]).load(tenant="t", version_id="mv", timeout=9)
    second.fails = [away()]
    with pytest.raises(UnreachableError):
        await Fleet([second]).load(tenant="t", version_id="mv", timeout=9)


async def test_a_cancelled_attempt_frees_its_replica():
    replica = Replica()
    hangs = asyncio.Event()

    async def hang() -> AsyncIterator[Piece]:
        await hangs.wait()
        yield SAID[0]

    replica._pieces = hang  # type: ignore[method-assign]
    asked = Fleet([replica])
    waiting = asyncio.create_task(answer(asked))
    await eventually(lambda: replica.open == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (replica.open, asked._replicas[0].in_flight) == (0, 0)
