"""A collector of spans on a socket of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc


class Collector(otlp_grpc.TraceServiceServicer):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    async def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return otlp.ExportTraceServiceResponse()


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[Collector, int]]:
    keeping, server = Collector(), grpc.aio.server()
    otlp_grpc.add_TraceServiceServicer_to_server(keeping, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield keeping, port
    await server.stop(None)
