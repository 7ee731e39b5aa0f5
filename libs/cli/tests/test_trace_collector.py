"""Spans sent by the real OTLP exporter arrive, are drawn as a tree, and need the token."""

import asyncio
import io
import json

import grpc
import pytest
from modelmill_cli.trace_collector import (
    TraceCollector,
    draw_trace,
    last_trace,
    missing_parents,
    read_trace,
)
from modelmill_testkit.waiting import eventually
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from rich.console import Console


def send_two_spans(port: int, token: str) -> str:
    exporter = OTLPSpanExporter(
        f"http://127.0.0.1:{port}",
        insecure=True,
        headers={"authorization": f"Bearer {token}"},
        timeout=60,
    )
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "gateway"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("chat") as outer, tracer.start_as_current_span("guard"):
        trace_id = f"{outer.get_span_context().trace_id:032x}"
    provider.shutdown()
    return trace_id


async def test_a_trace_arrives_whole_and_is_drawn_with_its_edges(tmp_path):
    file = tmp_path / "spans.jsonl"
    async with TraceCollector(file, "t0ken") as collector:
        trace_id = await asyncio.to_thread(send_two_spans, collector.port, "t0ken")
        spans = await eventually(lambda: len(read_trace(file, trace_id)) == 2) and read_trace(
            file, trace_id
        )
    assert missing_parents(spans) == []
    page = io.StringIO()
    Console(width=80, file=page).print(draw_trace(spans, "trace"))
    lines = [line for line in page.getvalue().splitlines() if "gateway" in line]
    assert ["chat" in lines[0], "guard" in lines[1]] == [True, True]
    assert lines[1].index("gateway") > lines[0].index("gateway")


def test_the_last_trace_is_the_one_that_began_last_with_the_name(tmp_path):
    file = tmp_path / "spans.jsonl"
    assert last_trace(file, "chat") == []
    begun = [("old", "chat", "", 1), ("new", "chat", "", 5), ("new", "guard", "s", 6)]
    begun += [("within", "chat", "s", 9), ("other", "chats", "", 8)]
    spans = [
        {"trace": trace, "name": name, "span": name, "parent": parent, "start_ns": start}
        for trace, name, parent, start in begun
    ]
    file.write_text("".join(json.dumps(span) + "\n" for span in spans))
    assert [span["name"] for span in last_trace(file, "chat")] == ["chat", "guard"]


async def test_spans_with_a_wrong_token_are_not_kept(tmp_path):
    file = tmp_path / "spans.jsonl"
    async with TraceCollector(file, "t0ken") as collector:
        trace_id = await asyncio.to_thread(send_two_spans, collector.port, "guess")
    assert read_trace(file, trace_id) == []


@pytest.mark.parametrize(
    ("token", "expected"),
    [("guess", grpc.StatusCode.UNAUTHENTICATED), ("t0ken", grpc.StatusCode.INVALID_ARGUMENT)],
)
async def test_bytes_that_are_no_spans_are_refused_and_parsed_for_no_stranger(
    tmp_path, token, expected
):
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    async with (
        TraceCollector(tmp_path / "spans.jsonl", "t0ken") as collector,
        grpc.aio.insecure_channel(f"127.0.0.1:{collector.port}") as channel,
    ):
        metadata = (("authorization", f"Bearer {token}"),)
        call = channel.unary_unary(method)(b"\xff\xff\xff", timeout=10, metadata=metadata)
        assert await call.code() is expected
