"""What a process logs and traces, seen from outside it."""

import json
import os
import subprocess
import sys

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PROCESS = """
import asyncio, logging, sys
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1 import moderation_service_pb2_grpc as pb_grpc
from opentelemetry import trace
from modelmill_service_kit.grpc_client import open_channel
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.settings import ServiceSettings
from modelmill_service_kit.telemetry import telemetry

class Guards(pb_grpc.ModerationServiceServicer):
    async def Check(self, request, context):
        recording = trace.get_current_span().is_recording()
        logging.getLogger("handler").warning("recording: %s", recording)
        return pb.CheckResponse()

async def call_ourselves():
    server = RpcServer("127.0.0.1:0", "secret")
    pb_grpc.add_ModerationServiceServicer_to_server(Guards(), server.grpc)
    async with server, open_channel(f"127.0.0.1:{server.port}", "secret") as channel:
        await pb_grpc.ModerationServiceStub(channel).Check(pb.CheckRequest(), timeout=60)

with telemetry("example", ServiceSettings()):
    parent = trace.SpanContext(int(sys.argv[1], 16), 1, True, trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(parent)):
        asyncio.run(call_ourselves())
"""
ENVIRONMENT = {
    "NATS_URL": "nats://127.0.0.1:1",
    "NATS_TOKEN": "a-token",
    "SERVICE_SECRET": "a-secret",
    "ARTIFACT_ROOT": "/nowhere",
}


SIGNALLED = """
import asyncio, logging, os, signal
from modelmill_service_kit.process import run_service
from modelmill_service_kit.settings import ServiceSettings

async def serve(settings, stopping):
    ours, theirs = logging.getLogger("modelmill_example.part"), logging.getLogger("theirs")
    for word in ("before", "between", "after"):
        ours.debug("ours %s", word)
        theirs.debug("theirs %s", word)
        os.kill(os.getpid(), signal.SIGUSR1)
        for _ in range(10):  # turns of the loop, in which it hears of the signal
            await asyncio.sleep(0)

run_service("example", ServiceSettings, serve)
"""


def test_a_signal_switches_debug_lines_of_our_code_alone_on_and_off():
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    switched = [f"debug lines of modelmill are {word}" for word in ("on", "off", "on")]
    assert said == [switched[0], "ours between", *switched[1:]]


def handler_line(**more: str) -> dict[str, str]:
    """What the handler of a call logged in a process with these settings."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, TRACE_ID],
        env=os.environ | ENVIRONMENT | more,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    (line,) = [line for line in lines if line["logger"] == "handler"]
    return line


def test_without_a_collector_spans_record_nothing_but_logs_keep_the_trace():
    line = handler_line()
    assert line["message"] == "recording: False"
    assert line["trace_id"] == TRACE_ID
    assert line["service"] == "example"


def test_with_a_collector_spans_record_even_while_it_is_away():
    line = handler_line(OTLP_ENDPOINT="http://127.0.0.1:1")
    assert line["message"] == "recording: True"
    assert line["trace_id"] == TRACE_ID


def test_who_imports_it_loads_no_exporter():
    code = "import sys, modelmill_service_kit.process; print('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
