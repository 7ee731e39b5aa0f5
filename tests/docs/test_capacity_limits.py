"""Limits that the report at scale compares with are those of chart, services and streams."""

from importlib import import_module
from pathlib import Path

import pytest
import yaml
from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch, UsageRecorded
from modelmill_bus.subjects import STREAMS
from modelmill_capacity.scale_report import DEFAULTS, USAGE_BYTES, USAGE_RECORD_BYTES

VALUES = Path(__file__).parents[2] / "deploy" / "helm" / "modelmill" / "values.yaml"


def default_of(name: str) -> int:
    if name.startswith("components."):
        found = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
        for key in name.split("."):
            found = found[key]
        return found
    service, _, field = name.lower().partition("_")
    return import_module(f"modelmill_{service}.settings").Settings.model_fields[field].default


def test_the_defaults_in_the_report_are_those_of_chart_and_services():
    assert {name: default_of(name) for name in DEFAULTS} == DEFAULTS


def test_the_stream_of_usage_holds_so_many_bytes_of_about_so_many_each():
    (stream,) = (it for it in STREAMS if it.name == "USAGE")
    record = UsageRecorded(
        request_id="chatcmpl-" + 32 * "0",
        tenant="a-tenant",
        caller="key-" + 32 * "0",
        version_id="mv-" + 26 * "0",
        prompt_tokens=500,
        completion_tokens=200,
        first_token_seconds=0.1,
        total_seconds=4.0,
        finish_reason="stop",
        policy_digest="sha256:" + 64 * "0",
        at=Timestamp(seconds=1_800_000_000, nanos=500_000_000),
        key_id="key-" + 26 * "0",
        micros=1000,
    )
    size = UsageBatch(requests=[record]).ByteSize()

    assert stream.max_bytes == USAGE_BYTES
    assert size == pytest.approx(USAGE_RECORD_BYTES, rel=0.1)
