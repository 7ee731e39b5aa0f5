"""Stands between services and their collector, and keeps every byte that passes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc


class SpanTap(pb_grpc.TraceServiceServicer):
    """An OTLP receiver that hands on what it gets once it knows where to."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[bytes] = []
        self._collector: grpc.aio.Channel | None = None

    async def Export(
        self, request: pb.ExportTraceServiceRequest, context: Any
    ) -> pb.ExportTraceServiceResponse:
        self.seen.append(request.SerializeToString())
        if self._collector is None:
            return pb.ExportTraceServiceResponse()
        headers = {key: value for key, value in context.invocation_metadata()}
        stub = pb_grpc.TraceServiceStub(self._collector)
        metadata = [("authorization", headers["authorization"])]
        return await stub.Export(request, metadata=metadata, timeout=60)

    def hand_on_to(self, url: str) -> None:
        self._collector = grpc.aio.insecure_channel(url.removeprefix("http://"))

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator["SpanTap"]:
        tap, server = cls(), grpc.aio.server()
        pb_grpc.add_TraceServiceServicer_to_server(tap, server)
        tap.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        yield tap
        await server.stop(grace=1)
        if tap._collector is not None:
            await tap._collector.close()
