"""A moderation that answers in every way but the right one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from modelmill.moderation.v1 import moderation_service_pb2 as pb

SERVICE = "modelmill.moderation.v1.ModerationService"
GARBAGE = b"\xff\xff\xff\xff not a message"


class BrokenModeration:
    """Does what `mode` names, to every Check."""

    def __init__(self) -> None:
        self.mode = "allow"
        self.asked = 0

    async def check(self, content: bytes, context: Any) -> bytes:
        """Bytes in, bytes out: what is no message can be said, too."""
        self.asked += 1
        request = pb.CheckRequest.FromString(content)
        said = getattr(self, f"_{self.mode}")(request, context)
        answer: bytes = await said
        return answer

    async def _allow(self, request: pb.CheckRequest, context: Any) -> bytes:
        verdict = pb.Verdict(action=pb.ACTION_ALLOW, text=request.text)
        return pb.CheckResponse(verdict=verdict).SerializeToString()

    async def _unavailable(self, request: pb.CheckRequest, context: Any) -> bytes:
        return await _aborted(context, grpc.StatusCode.UNAVAILABLE)

    async def _internal(self, request: pb.CheckRequest, context: Any) -> bytes:
        return await _aborted(context, grpc.StatusCode.INTERNAL)

    async def _unimplemented(self, request: pb.CheckRequest, context: Any) -> bytes:
        return await _aborted(context, grpc.StatusCode.UNIMPLEMENTED)

    async def _crash(self, request: pb.CheckRequest, context: Any) -> bytes:
        raise RuntimeError("a bug of moderation")

    async def _hang(self, request: pb.CheckRequest, context: Any) -> bytes:
        nothing: bytes = await asyncio.get_running_loop().create_future()
        return nothing

    async def _garbage(self, request: pb.CheckRequest, context: Any) -> bytes:
        return GARBAGE

    async def _nothing(self, request: pb.CheckRequest, context: Any) -> bytes:
        return b""

    async def _no_action(self, request: pb.CheckRequest, context: Any) -> bytes:
        verdict = pb.Verdict(text=request.text)
        return pb.CheckResponse(verdict=verdict).SerializeToString()

    async def _unknown_action(self, request: pb.CheckRequest, context: Any) -> bytes:
        # Field 1 of a verdict as the number 77, as a newer moderation might say.
        verdict = b"\x08\x4d" + pb.Verdict(text=request.text).SerializeToString()
        return b"\x0a" + bytes([len(verdict)]) + verdict

    async def _shorter(self, request: pb.CheckRequest, context: Any) -> bytes:
        verdict = pb.Verdict(action=pb.ACTION_MASK, text=request.text[:-1])
        return pb.CheckResponse(verdict=verdict).SerializeToString()


async def _aborted(context: Any, status: grpc.StatusCode) -> bytes:
    await context.abort(status, "broken on purpose")
    raise AssertionError("abort raises")


@asynccontextmanager
async def serving(broken: BrokenModeration) -> AsyncIterator[str]:
    """On a socket; its address."""
    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(broken.check)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Check": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=0)
