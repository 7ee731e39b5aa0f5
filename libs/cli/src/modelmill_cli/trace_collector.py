"""A small OTLP receiver: keeps spans in a JSONL file and draws a trace as a tree.

It is what `mill up` uses on one machine; elsewhere the services send to a real collector.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from modelmill_service_kit.grpc_server import DomainErrorInterceptor, GateInterceptor
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2 as pb,
)
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2_grpc as pb_grpc,
)
from rich.tree import Tree

MAX_BATCH_BYTES = 16 * 1024 * 1024


class _Receiver(pb_grpc.TraceServiceServicer):
    def __init__(self, file: Path) -> None:
        self._file = file

    async def Export(
        self, request: pb.ExportTraceServiceRequest, context: Any
    ) -> pb.ExportTraceServiceResponse:
        # On a full disk a trace is lost, and nothing else is.
        with suppress(OSError), self._file.open("a") as file:
            for span in _spans(request):
                file.write(json.dumps(span) + "\n")
        return pb.ExportTraceServiceResponse()


def _spans(request: pb.ExportTraceServiceRequest) -> Iterable[dict[str, Any]]:
    for resource in request.resource_spans:
        attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "service": attributes.get("service.name", "?"),
                    "name": span.name,
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "start_ns": span.start_time_unix_nano,
                    "end_ns": span.end_time_unix_nano,
                    "error": span.status.code == 2,
                }


class TraceCollector:
    """Receives spans on loopback until the block ends."""

    def __init__(self, file: Path, token: str) -> None:
        options = [("grpc.max_receive_message_length", MAX_BATCH_BYTES)]
        interceptors = (DomainErrorInterceptor(), GateInterceptor(token))
        self._server = grpc.aio.server(interceptors=interceptors, options=options)
        pb_grpc.add_TraceServiceServicer_to_server(_Receiver(file), self._server)
        self.port = 0

    async def __aenter__(self) -> "TraceCollector":
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(grace=1)


def read_trace(file: Path, trace_id: str) -> list[dict[str, Any]]:
    """The spans of one trace received so far, by start time."""
    if not file.exists():
        return []
    lines = (line for line in file.read_text().splitlines() if trace_id in line)
    spans = [json.loads(line) for line in lines]
    return sorted((s for s in spans if s["trace"] == trace_id), key=lambda s: s["start_ns"])


def last_trace(file: Path, name: str) -> list[dict[str, Any]]:
    """The spans of the trace that began last with a span of this name; empty where none did."""
    lines = file.read_text().splitlines() if file.exists() else []
    named = [json.loads(line) for line in lines if name in line]
    roots = [span for span in named if span["name"] == name and not span["parent"]]
    begun = max(roots, key=lambda span: int(span["start_ns"]), default=None)
    return read_trace(file, begun["trace"]) if begun else []


def missing_parents(spans: Iterable[dict[str, Any]], *, root_parent: str = "") -> list[str]:
    """Names of spans whose parent was never received; `root_parent` is the client's own span."""
    spans = list(spans)
    known = {span["span"] for span in spans} | {"", root_parent}
    return [span["name"] for span in spans if span["parent"] not in known]


def draw_trace(spans: list[dict[str, Any]], title: str) -> Tree:
    """The trace as a tree: service, span, milliseconds."""
    known = {span["span"] for span in spans}
    children: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in spans:
        children[span["parent"] if span["parent"] in known else ""].append(span)
    tree = Tree(title)
    _grow(tree, "", children)
    return tree


def _grow(tree: Tree, parent: str, children: dict[str, list[dict[str, Any]]]) -> None:
    for span in children[parent]:
        milliseconds = (span["end_ns"] - span["start_ns"]) / 1e6
        mark = " [red]error[/red]" if span["error"] else ""
        branch = tree.add(
            f"[cyan]{span['service']}[/cyan] {span['name']} [dim]{milliseconds:.1f} ms[/dim]{mark}"
        )
        _grow(branch, span["span"], children)
