"""What callers hear of a version that is being loaded, by the use case and over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1 import inference_service_pb2_grpc as pb_grpc
from modelmill.registry.v1.model_events_pb2 import ServingState
from modelmill_inference.admit_requests import EngineQueues
from modelmill_inference.entrypoints.grpc import InferenceServicer
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.load_version import LoadedVersion, LoadHistory, PreparedVersion
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_inference.resolve_alias import AliasResolver
from modelmill_service_kit.errors import OverloadedError, PreconditionError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.service_process import SECRET
from modelmill_testkit.simulation import virtual_time
from modelmill_testkit.waiting import eventually
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .fakes import PATIENT, FakeLoader, FakeModels, HeardFacts, plenty_free

LOADING = ServingState.SERVING_STATE_LOADING


class SlowLoader(FakeLoader):
    """Takes its time."""

    seconds = 20.0

    async def open(self, prepared: PreparedVersion) -> LoadedVersion:
        await asyncio.sleep(self.seconds)
        loaded = await super().open(prepared)
        return replace(loaded, load_seconds=self.seconds)


class Room:
    """A pool of one version at a time; each takes 20 s to load."""

    def __init__(self, tokenizer: ChatTokenizer, history: LoadHistory | None = None) -> None:
        self.models, self.loader, self.heard = FakeModels(), SlowLoader(tokenizer), HeardFacts()
        self.memory = memory = MemoryBudget(plenty_free, MemoryLimits(2**40, versions=1))
        self.pool = VersionPool(
            self.models, self.loader, self.heard, memory, max_in_flight=9, history=history
        )

    def add(self, version_id: str, size_bytes: int = 0, **fields: str) -> None:
        self.models.add(version_id, form=fields.pop("form", "openvino-int8"))
        model = self.models.versions["acme", version_id]
        model.size_bytes = size_bytes
        for field, value in fields.items():
            setattr(model, field, value)

    async def know(self, version_id: str) -> None:
        """Have it loaded once, so that it is known how long that takes, and freed."""
        self.add(version_id)
        await self.use(version_id)
        await self.pool.free(version_id)

    async def use(self, version_id: str, seconds: float | None = None) -> float:
        """Seconds until it could be used."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        deadline = None if seconds is None else began + seconds
        async with self.pool.lease("acme", version_id, deadline):
            return loop.time() - began

    async def refused(self, version_id: str, seconds: float) -> tuple[float, OverloadedError]:
        """Seconds until it was refused, and how."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(OverloadedError) as refused:
            await self.use(version_id, seconds)
        assert refused.value.reason == "MODEL_LOADING"
        return loop.time() - began, refused.value


def play(tokenizer: ChatTokenizer, story: Any) -> None:
    async def played() -> None:
        room = Room(tokenizer)
        try:
            await story(room)
        finally:
            await room.pool.close()

    with virtual_time() as loop:
        loop.run_until_complete(played())


def test_who_waited_in_vain_hears_that_it_loads_before_the_deadline_and_finds_it_loaded_later(
    tokenizer: ChatTokenizer,
) -> None:
    async def story(room: Room) -> None:
        room.add("mv-1", name="tiny")

        waited, refusal = await room.refused("mv-1", seconds=12.0)

        assert 11.0 < waited < 12.0
        assert refusal.message == ('model "tiny" (mv-1) is loading: 12 s so far. Try again in 12 s')
        assert refusal.retry_after_seconds == 12
        # The load went on meanwhile.
        assert 8.0 < await room.use("mv-1", seconds=12.0) < 9.0
        assert room.loader.loads == ["mv-1"]

    play(tokenizer, story)


def test_who_could_not_wait_so_long_hears_at_once_how_long_the_last_load_took(
    tokenizer: ChatTokenizer,
) -> None:
    async def story(room: Room) -> None:
        await room.know("mv-1")

        waited, refusal = await room.refused("mv-1", seconds=12.0)

        assert waited == 0.0
        assert refusal.message == (
            "model mv-1 is loading: 0 s so far, about 20 s left. Try again in 20 s"
        )
        await asyncio.sleep(5.0)
        waited, refusal = await room.refused("mv-1", seconds=12.0)
        assert (waited, refusal.retry_after_seconds) == (0.0, 15)
        # Who has the time waits for it.
        assert 14.0 < await room.use("mv-1", seconds=30.0) < 16.0

    play(tokenizer, story)


@pytest.mark.parametrize(
    ("fields", "is_alike"),
    [
        ({"size_bytes": 1900}, True),
        ({"size_bytes": 2100}, False),
        ({"size_bytes": 400}, False),
        ({"form": "openvino-int4", "size_bytes": 1000}, False),
    ],
)
def test_a_version_that_was_never_loaded_is_expected_by_one_of_its_form_and_size(
    tokenizer: ChatTokenizer, fields: dict[str, Any], is_alike: bool
) -> None:
    async def story(room: Room) -> None:
        room.add("mv-1", size_bytes=1000)
        room.add("mv-2", **fields)
        await room.use("mv-1")

        waited, _ = await room.refused("mv-2", seconds=12.0)

        assert (waited == 0.0) is is_alike

    play(tokenizer, story)


def test_who_asks_after_a_load_that_failed_waits_and_hears_why_it_fails(
    tokenizer: ChatTokenizer,
) -> None:
    async def story(room: Room) -> None:
        await room.know("mv-1")
        room.loader.failure = PreconditionError("the engine refused the model")
        await room.refused("mv-1", seconds=12.0)
        await asyncio.sleep(30.0)
        room.loader.seconds = 3.0

        with pytest.raises(PreconditionError, match="the engine refused the model"):
            await room.use("mv-1", seconds=12.0)

    play(tokenizer, story)


def test_the_beginning_of_a_load_is_told_with_what_is_expected_of_it(
    tokenizer: ChatTokenizer,
) -> None:
    async def story(room: Room) -> None:
        await room.know("mv-1")
        await room.use("mv-1")

        facts = [fact for fact in room.heard.facts if fact.state == LOADING]
        assert [fact.expected_seconds for fact in facts] == [0.0, 20.0]
        assert all(fact.HasField("began_at") and fact.engine == "fake" for fact in facts)

    play(tokenizer, story)


def test_a_load_that_is_given_up_is_told_to_have_stopped(tokenizer: ChatTokenizer) -> None:
    async def story(room: Room) -> None:
        room.add("mv-1")
        await room.refused("mv-1", seconds=1.0)
        await room.pool.close()

        assert [fact.state for fact in room.heard.facts] == [
            LOADING,
            ServingState.SERVING_STATE_STOPPED,
        ]

    play(tokenizer, story)


@asynccontextmanager
async def grpc_stub(room: Room) -> AsyncIterator[Any]:
    """A stub of the service, over a real socket."""
    server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0)
    servicer = InferenceServicer(
        room.pool, EngineQueues(PATIENT), AliasResolver(room.pool.can_serve), room.memory
    )
    pb_grpc.add_InferenceServiceServicer_to_server(servicer, server.grpc)
    async with server, open_channel(f"127.0.0.1:{server.port}", SECRET) as channel:
        yield pb_grpc.InferenceServiceStub(channel)
    await room.pool.close()


async def test_over_grpc_every_caller_hears_that_it_loads_instead_of_a_bare_deadline(
    tokenizer: ChatTokenizer,
) -> None:
    # Much time between the refusal and the deadline, so that a busy machine makes neither late.
    room = Room(tokenizer, LoadHistory(margin_seconds=9.0))
    room.add("mv-1", name="tiny")
    room.loader.seconds = 0.0
    room.loader.open_gate.clear()
    asked = {"tenant": "acme", "model": "mv-1"}
    async with grpc_stub(room) as stub:
        calls: list[Coroutine[Any, Any, Any]] = [
            anext(aiter(stub.Generate(pb.GenerateRequest(**asked, text="once"), timeout=10))),
            _answer(stub.Embed(pb.EmbedRequest(**asked, texts=["once"]), timeout=10)),
            _answer(stub.CountTokens(pb.CountTokensRequest(**asked, text="once"), timeout=10)),
            _answer(
                stub.Score(pb.ScoreRequest(**asked, text="a", continuations=["b"]), timeout=10)
            ),
        ]

        heard = await asyncio.gather(*map(_error_of, calls))

        for error in heard:
            assert error.reason == "MODEL_LOADING"
            assert error.message.startswith('model "tiny" (mv-1) is loading: ')
            assert error.retry_after_seconds >= 1
        room.loader.open_gate.set()
        await eventually(lambda: room.pool.is_loaded("mv-1"))
        answer = stub.Generate(pb.GenerateRequest(**asked, text="once"), timeout=10)
        assert [part async for part in answer][-1].end.finish_reason


async def _answer(call: Any) -> Any:
    return await call


async def _error_of(call: Coroutine[Any, Any, Any]) -> OverloadedError:
    with pytest.raises(OverloadedError) as refused, domain_errors():
        await call
    return refused.value
