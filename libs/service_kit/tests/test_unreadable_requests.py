"""Bytes that are no message: parsed for nobody unknown, refused in one word, logged in one line."""

import logging
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from modelmill.data_prep.v1 import data_prep_service_pb2 as files_pb
from modelmill.data_prep.v1 import data_prep_service_pb2_grpc as files_grpc
from modelmill.inference.v1 import inference_service_pb2_grpc as text_grpc
from modelmill.moderation.v1 import moderation_service_pb2 as guard_pb
from modelmill.moderation.v1 import moderation_service_pb2_grpc as guard_grpc
from modelmill_service_kit.grpc_client import open_channel
from modelmill_service_kit.grpc_server import MAX_MESSAGE_BYTES, LimitedLog, RpcServer

SECRET = "s3cret-of-the-services"
SECONDS = 10.0
NO_MESSAGE = b"\xff\xff\xff"
Status = grpc.StatusCode

SHAPES = {
    "unary_unary": "/modelmill.moderation.v1.ModerationService/Check",
    "unary_stream": "/modelmill.inference.v1.InferenceService/Generate",
    "stream_unary": "/modelmill.data_prep.v1.DataPrepService/UploadFile",
    "stream_stream": "/modelmill.moderation.v1.ModerationService/Guard",
}
HEALTH = {
    "unary_unary": "/grpc.health.v1.Health/Check",
    "unary_stream": "/grpc.health.v1.Health/Watch",
}


class Guards(guard_grpc.ModerationServiceServicer):
    """Answers each message of a stream before it reads the next."""

    async def Check(self, request, context):
        return guard_pb.CheckResponse()

    async def Guard(self, request_iterator, context):
        async for _ in request_iterator:
            yield guard_pb.GuardResponse(released="read")


class Files(files_grpc.DataPrepServiceServicer):
    async def UploadFile(self, request_iterator, context):
        async for _ in request_iterator:
            pass
        return files_pb.UploadFileResponse()


@pytest_asyncio.fixture
async def target() -> AsyncIterator[str]:
    server = RpcServer("127.0.0.1:0", SECRET, drain_seconds=0.1)
    guard_grpc.add_ModerationServiceServicer_to_server(Guards(), server.grpc)
    files_grpc.add_DataPrepServiceServicer_to_server(Files(), server.grpc)
    text_grpc.add_InferenceServiceServicer_to_server(
        text_grpc.InferenceServiceServicer(), server.grpc
    )
    async with server:
        yield f"127.0.0.1:{server.port}"


async def answer_to(
    channel: grpc.aio.Channel, shape: str, method: str, *messages: bytes
) -> tuple[grpc.StatusCode, str, int]:
    """Status, its words, and how many responses came, when raw bytes are sent as requests."""
    given = iter(messages) if shape.startswith("stream") else messages[0]
    call = getattr(channel, shape)(method)(given, timeout=SECONDS)
    responses = 0
    if shape.endswith("stream"):
        try:
            async for _ in call:
                responses += 1
        except grpc.aio.AioRpcError:
            pass
    return await call.code(), await call.details() or "", responses


@pytest.mark.parametrize("shape", SHAPES)
async def test_nothing_is_parsed_for_a_caller_without_the_secret(target: str, shape: str):
    async with open_channel(target, "guess") as channel:
        status, said, _ = await answer_to(channel, shape, SHAPES[shape], NO_MESSAGE)
    assert status is Status.UNAUTHENTICATED, said


@pytest.mark.parametrize("shape", SHAPES)
async def test_bytes_that_are_no_message_are_an_invalid_argument(target: str, shape: str):
    async with open_channel(target, SECRET) as channel:
        status, said, _ = await answer_to(channel, shape, SHAPES[shape], NO_MESSAGE)
    assert status is Status.INVALID_ARGUMENT
    assert "not a protobuf message" in said
    assert "DecodeError" not in said


async def test_a_stream_ends_at_the_first_message_that_cannot_be_read(target: str):
    sound = guard_pb.GuardRequest().SerializeToString()
    async with open_channel(target, SECRET) as channel:
        answer = await answer_to(
            channel, "stream_stream", SHAPES["stream_stream"], sound, sound, NO_MESSAGE, sound
        )
    assert (answer[0], answer[2]) == (Status.INVALID_ARGUMENT, 2)


@pytest.mark.parametrize("shape", HEALTH)
async def test_health_which_is_open_to_all_refuses_them_as_well(target: str, shape: str):
    async with open_channel(target, "guess") as channel:
        status, said, _ = await answer_to(channel, shape, HEALTH[shape], NO_MESSAGE)
    assert status is Status.INVALID_ARGUMENT, said


@pytest.mark.parametrize(("secret", "lines"), [("guess", 0), (SECRET, 1)])
async def test_however_many_come_they_leave_one_line_and_no_traceback(
    target: str, secret: str, lines: int, caplog: pytest.LogCaptureFixture
):
    async with open_channel(target, secret) as channel:
        for _ in range(20):
            for shape, method in SHAPES.items():
                await answer_to(channel, shape, method, NO_MESSAGE)
    shown = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.exc_info for record in shown] == [None] * lines
    assert all("unreadable request" in record.getMessage() for record in shown)


async def test_a_message_over_the_limit_is_refused_for_its_size(target: str):
    async with open_channel(target, SECRET) as channel:
        status, _, _ = await answer_to(
            channel, "unary_unary", SHAPES["unary_unary"], bytes(MAX_MESSAGE_BYTES + 1)
        )
    assert status is Status.RESOURCE_EXHAUSTED


def test_a_limited_log_says_how_many_lines_it_left_out(caplog: pytest.LogCaptureFixture):
    times = [100.0, 101.0, 109.9, 110.0, 110.1, 130.0]
    clock = iter(times)
    limited = LimitedLog(
        logging.getLogger("a-log-of-the-tests"), seconds=10, clock=lambda: next(clock)
    )
    for _ in times:
        limited.warning("refused %s", "it")
    assert [record.getMessage() for record in caplog.records] == [
        "refused it (0 more since the last such line)",
        "refused it (2 more since the last such line)",
        "refused it (1 more since the last such line)",
    ]
