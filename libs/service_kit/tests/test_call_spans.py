"""Each call leaves one client span and one server span, in one trace, however it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import grpc
import pytest
import pytest_asyncio
from modelmill.data_prep.v1 import data_prep_service_pb2 as files_pb
from modelmill.data_prep.v1 import data_prep_service_pb2_grpc as files_grpc
from modelmill.inference.v1 import inference_service_pb2 as text_pb
from modelmill.inference.v1 import inference_service_pb2_grpc as text_grpc
from modelmill.moderation.v1 import moderation_service_pb2 as guard_pb
from modelmill.moderation.v1 import moderation_service_pb2_grpc as guard_grpc
from modelmill_service_kit.errors import DomainError, NotFoundError, UnavailableError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_testkit.waiting import eventually
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import REGISTRY

SECRET = "s3cret-of-the-services"
SOON_SECONDS = 60.0
"""A cancel that waited for the call's deadline would take `DEADLINE_SECONDS`."""
DEADLINE_SECONDS = 200.0


@dataclass
class House:
    """One server with a method of each shape, which does as it is told."""

    port: int = 0
    error: DomainError | None = None
    hangs: bool = False
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def work(self) -> None:
        """What every handler does between its first and its last message."""
        self.entered.set()
        try:
            if self.error is not None:
                raise self.error
            if self.hangs:
                await asyncio.Event().wait()
        finally:
            self.left.set()


class Guards(guard_grpc.ModerationServiceServicer):
    def __init__(self, house: House) -> None:
        self._house = house

    async def Check(self, request, context):
        await self._house.work()
        return guard_pb.CheckResponse()

    async def Guard(self, request_iterator, context):
        yield guard_pb.GuardResponse(released="first")
        await self._house.work()


class Texts(text_grpc.InferenceServiceServicer):
    def __init__(self, house: House) -> None:
        self._house = house

    async def Generate(self, request, context):
        yield text_pb.GenerateResponse(text_delta="first")
        await self._house.work()


class Files(files_grpc.DataPrepServiceServicer):
    def __init__(self, house: House) -> None:
        self._house = house

    async def UploadFile(self, request_iterator, context):
        await self._house.work()
        return files_pb.UploadFileResponse()


@pytest_asyncio.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0.1)
    guard_grpc.add_ModerationServiceServicer_to_server(Guards(house), server.grpc)
    text_grpc.add_InferenceServiceServicer_to_server(Texts(house), server.grpc)
    files_grpc.add_DataPrepServiceServicer_to_server(Files(house), server.grpc)
    async with server:
        house.port = server.port
        yield house


async def endless_upload() -> AsyncIterator[files_pb.UploadFileRequest]:
    while True:
        yield files_pb.UploadFileRequest(chunk=b"x")
        await asyncio.Event().wait()


async def unary_unary(channel: grpc.aio.Channel) -> None:
    stub = guard_grpc.ModerationServiceStub(channel)
    await stub.Check(guard_pb.CheckRequest(), timeout=DEADLINE_SECONDS)


async def unary_stream(channel: grpc.aio.Channel) -> None:
    stub = text_grpc.InferenceServiceStub(channel)
    async for _ in stub.Generate(text_pb.GenerateRequest(), timeout=DEADLINE_SECONDS):
        pass


async def stream_unary(channel: grpc.aio.Channel) -> None:
    stub = files_grpc.DataPrepServiceStub(channel)
    await stub.UploadFile(endless_upload(), timeout=DEADLINE_SECONDS)


async def stream_stream(channel: grpc.aio.Channel) -> None:
    stub = guard_grpc.ModerationServiceStub(channel)
    async for _ in stub.Guard(iter([guard_pb.GuardRequest()]), timeout=DEADLINE_SECONDS):
        pass


METHODS = {
    unary_unary: "modelmill.moderation.v1.ModerationService/Check",
    unary_stream: "modelmill.inference.v1.InferenceService/Generate",
    stream_unary: "modelmill.data_prep.v1.DataPrepService/UploadFile",
    stream_stream: "modelmill.moderation.v1.ModerationService/Guard",
}
SHAPES = pytest.mark.parametrize("call", METHODS, ids=lambda call: call.__name__)
Call = Callable[[grpc.aio.Channel], Awaitable[None]]


async def both_spans(spans) -> tuple[ReadableSpan, ReadableSpan]:
    """The client's and the server's span, once they are the only two, and both have ended."""
    await eventually(lambda: len(spans.get_finished_spans()) >= 2, within=SOON_SECONDS)
    ended = spans.get_finished_spans()
    assert sorted(span.kind.name for span in ended) == ["CLIENT", "SERVER"]
    client, server = sorted(ended, key=lambda span: span.kind is SpanKind.SERVER)
    return client, server


@SHAPES
async def test_the_server_span_is_the_child_of_the_client_span(house, spans, call: Call):
    async with open_channel(f"127.0.0.1:{house.port}", SECRET) as channel:
        with trace.get_tracer("test").start_as_current_span("caller") as caller:
            await call(channel)
            client, server = await both_spans(spans)

    assert client.parent.span_id == caller.get_span_context().span_id
    assert server.parent.span_id == client.context.span_id
    assert {span.context.trace_id for span in (client, server)} == {
        caller.get_span_context().trace_id
    }
    for span in (client, server):
        assert span.name == METHODS[call]
        assert span.attributes["rpc.system.name"] == "grpc"
        assert span.attributes["rpc.method"] == METHODS[call]
        assert span.attributes["rpc.response.status_code"] == "OK"
        assert span.status.status_code is StatusCode.UNSET
        assert SECRET not in span.to_json()
    assert client.attributes["server.address"] == "127.0.0.1"
    assert client.attributes["server.port"] == house.port


@SHAPES
@pytest.mark.parametrize(
    ("error", "is_servers_fault"),
    [(NotFoundError("no such thing"), False), (UnavailableError("not now"), True)],
)
async def test_a_refusal_is_an_error_of_the_client_and_only_some_are_the_servers(
    house, spans, call: Call, error, is_servers_fault
):
    house.error = error
    async with open_channel(f"127.0.0.1:{house.port}", SECRET) as channel:
        with pytest.raises(type(error)), domain_errors():
            await call(channel)
        client, server = await both_spans(spans)

    assert client.attributes["rpc.response.status_code"] == error.reason
    assert client.attributes["error.type"] == error.reason
    assert client.status.status_code is StatusCode.ERROR
    assert server.attributes["rpc.response.status_code"] == error.reason
    assert (server.status.status_code is StatusCode.ERROR) == is_servers_fault
    for span in (client, server):
        assert error.message not in span.to_json()


@SHAPES
async def test_a_cancelled_call_stops_the_server_at_once_and_ends_both_spans(
    house, spans, call: Call
):
    house.hangs = True
    async with open_channel(f"127.0.0.1:{house.port}", SECRET) as channel:
        calling = asyncio.create_task(call(channel))
        await asyncio.wait_for(house.entered.wait(), SOON_SECONDS)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await asyncio.wait_for(house.left.wait(), SOON_SECONDS)
        client, server = await both_spans(spans)

    assert calling.cancelled()
    assert client.attributes["rpc.response.status_code"] == "CANCELLED"
    assert server.attributes["rpc.response.status_code"] == "CANCELLED"
    assert server.status.status_code is StatusCode.UNSET


async def test_a_stream_that_is_left_and_cancelled_ends_its_spans(house, spans):
    house.hangs = True
    async with open_channel(f"127.0.0.1:{house.port}", SECRET) as channel:
        stub = text_grpc.InferenceServiceStub(channel)
        rpc = stub.Generate(text_pb.GenerateRequest(), timeout=DEADLINE_SECONDS)
        async for _ in rpc:
            break
        # A cancel while the first response is still being sent would end the handler there.
        await asyncio.wait_for(house.entered.wait(), SOON_SECONDS)
        rpc.cancel()
        await asyncio.wait_for(house.left.wait(), SOON_SECONDS)
        client, server = await both_spans(spans)
    assert client.attributes["rpc.response.status_code"] == "CANCELLED"
    assert server.parent.span_id == client.context.span_id


async def test_a_call_over_its_deadline_says_so_on_both_sides(house, spans):
    house.hangs = True
    async with open_channel(f"127.0.0.1:{house.port}", SECRET) as channel:
        stub = guard_grpc.ModerationServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Check(guard_pb.CheckRequest(), timeout=2)
        client, server = await both_spans(spans)
    for span in (client, server):
        assert span.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"
        assert span.status.status_code is StatusCode.ERROR


async def test_a_call_to_nobody_leaves_one_client_span(spans, unused_port):
    async with open_channel(f"127.0.0.1:{unused_port()}", SECRET) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await unary_unary(channel)
    (client,) = spans.get_finished_spans()
    assert client.attributes["rpc.response.status_code"] == "UNAVAILABLE"


async def test_calls_are_measured_by_method_and_status(house):
    def measured(method: Call, code: str) -> float:
        labels = {"method": f"/{METHODS[method]}", "code": code}
        name = "modelmill_rpc_server_seconds_count"
        return REGISTRY.get_sample_value(name, labels) or 0.0

    before = measured(unary_unary, "OK"), measured(unary_unary, "NOT_FOUND")
    async with open_channel(f"127.0.0.1:{house.port}", SECRET) as channel:
        await unary_unary(channel)
        house.error = NotFoundError("no")
        with pytest.raises(NotFoundError), domain_errors():
            await unary_unary(channel)
    # The server counts a call after its answer has left.
    await eventually(
        lambda: (
            (measured(unary_unary, "OK"), measured(unary_unary, "NOT_FOUND"))
            == (before[0] + 1, before[1] + 1)
        ),
        within=SOON_SECONDS,
    )


class Flood(text_grpc.InferenceServiceServicer):
    """Sends more than a connection takes, so that it is cancelled in the middle of a send."""

    def __init__(self) -> None:
        self.sent = 0
        self.cleaned_up = asyncio.Event()

    async def Generate(self, request, context):
        try:
            while True:
                yield text_pb.GenerateResponse(text_delta="x" * 1_000_000)
                self.sent += 1
        finally:
            trace.get_current_span().set_attribute("cleaned.up", True)
            self.cleaned_up.set()


async def test_a_handler_that_is_cancelled_while_it_sends_cleans_up_within_its_span(spans):
    flood = Flood()
    server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0.1)
    text_grpc.add_InferenceServiceServicer_to_server(flood, server.grpc)
    async with server, open_channel(f"127.0.0.1:{server.port}", SECRET) as channel:
        stub = text_grpc.InferenceServiceStub(channel)
        rpc = stub.Generate(text_pb.GenerateRequest(), timeout=DEADLINE_SECONDS)
        await eventually(lambda: flood.sent > 0, within=SOON_SECONDS)
        rpc.cancel()
        await asyncio.wait_for(flood.cleaned_up.wait(), SOON_SECONDS)
        _, server_span = await both_spans(spans)
    assert server_span.attributes["cleaned.up"]
