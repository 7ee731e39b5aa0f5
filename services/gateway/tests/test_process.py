"""The gateway as a process of its own: starts, answers, traces, and stops cleanly."""

import json
import signal
from typing import Any

import pytest
from gateway_support.collector import Collector, collector
from gateway_support.house import BLOCKED, BUILD, SECRET, House
from gateway_support.process import running, settings_of
from google.protobuf.json_format import MessageToDict
from modelmill_testkit.service_process import modules_loaded_by, refused_start
from modelmill_testkit.waiting import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


async def test_it_starts_answers_traces_and_finishes_its_streams_on_sigterm(own_house: House):
    async with (
        collector() as (keeping, otlp_port),
        running(
            own_house,
            otlp_endpoint=f"http://127.0.0.1:{otlp_port}",
            rules_here_chars="0",
            drain_seconds="60",
        ) as (service, client),
    ):
        token = own_house.issuer.token()
        headers = {
            "authorization": f"Bearer {token}",
            "traceparent": f"00-{TRACE}-{PARENT}-01",
        }
        own_house.inference.pieces = ["x"] * 100
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        async with client.stream(
            "POST", "/v1/chat/completions", json=ask("hi") | {"stream": True}, headers=headers
        ) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            service.process.send_signal(signal.SIGTERM)
            rest = [line async for line in lines]

        assert await service.ended() == 0, service.errors
        assert rest[-2] == "data: [DONE]"
        await eventually(lambda: tree(keeping) == EXPECTED_TREE)
        assert chat_attributes(keeping) == EXPECTED_ATTRIBUTES


EXPECTED_TREE = {
    ("client", "POST /v1/chat/completions"),
    ("POST /v1/chat/completions", "gateway.chat"),
    ("gateway.chat", "modelmill.moderation.v1.ModerationService/Check"),
    ("gateway.chat", "modelmill.inference.v1.InferenceService/Generate"),
    ("gateway.chat", "guard.output"),
}


EXPECTED_ATTRIBUTES = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "modelmill",
    "gen_ai.request.model": "default",
    "gen_ai.response.model": BUILD,
    "gen_ai.usage.input_tokens": "7",
    "gen_ai.usage.output_tokens": "100",
    "gen_ai.response.finish_reasons": ["stop"],
}


def chat_attributes(keeping: Collector) -> dict[str, Any]:
    """What the span of the chat says under the names of OpenTelemetry's conventions."""
    span = next(span for span in keeping.spans if span.name == "gateway.chat")
    values = {each.key: MessageToDict(each.value) for each in span.attributes}
    return {
        name: [each["stringValue"] for each in value["arrayValue"]["values"]]
        if "arrayValue" in value
        else next(iter(value.values()))
        for name, value in values.items()
        if name.startswith("gen_ai.")
    }


def tree(keeping: Collector) -> set[tuple[str, str]]:
    """Edges of the client's trace, parent to child, by name; the usage record's aside."""
    mine = [span for span in keeping.spans if span.trace_id.hex() == TRACE]
    names = {span.span_id.hex(): span.name for span in mine} | {PARENT: "client"}
    return {(names.get(span.parent_span_id.hex(), "?"), span.name) for span in mine}


async def test_the_metrics_page_counts_requests_for_holders_of_the_secret(own_house: House):
    job = {"file_id": "file-x", "mapping": {"messages_column": "messages"}}
    async with running(own_house) as (service, client):
        metrics = f"http://127.0.0.1:{service.ports['metrics']}/metrics"
        await client.get("/healthz")
        client.headers["authorization"] = f"Bearer {own_house.issuer.token()}"
        form = {"files": {"file": ("a.jsonl", b"{}")}, "data": {"purpose": "fine-tune"}}
        file = (await client.post("/v1/files", **form)).json()["id"]
        await client.post("/v1/datasets", json=job | {"file_id": file})
        await client.post("/v1/chat/completions", json=ask("hi"))
        await client.post("/v1/chat/completions", json=ask(BLOCKED))
        own_house.inference.pieces = [BLOCKED]
        await client.post("/v1/chat/completions", json=ask("hi"))
        client.headers["authorization"] = ""
        assert (await client.get(metrics)).status_code == 401

        async def missing() -> set[str]:
            page = await client.get(metrics, headers={"authorization": f"Bearer {SECRET}"})
            return EXPECTED_METRICS - set(page.text.splitlines())

        async def are_counted() -> bool:
            # Behind the answer it is counted.
            return not await missing()

        await eventually(are_counted)
        status = await service.stop(signal.SIGINT)

    assert status == 0


EXPECTED_METRICS = {
    'modelmill_http_requests_total{route="health",status="200"} 1.0',
    'modelmill_http_requests_total{route="chat",status="200"} 2.0',
    'modelmill_http_requests_total{route="chat",status="400"} 1.0',
    'modelmill_http_request_seconds_count{route="chat"} 3.0',
    'modelmill_first_text_seconds_count{model="default"} 1.0',
    'modelmill_blocked_total{direction="input"} 1.0',
    'modelmill_blocked_total{direction="output"} 1.0',
    "modelmill_active_streams 0.0",
    "modelmill_usage_dropped_total 0.0",
    'modelmill_jobs{kind="dataset",status="queued"} 1.0',
}


def ask(text: str) -> dict[str, object]:
    return {"model": "default", "messages": [{"role": "user", "content": text}]}


async def test_each_request_leaves_one_line_with_nothing_of_what_was_said(own_house: House):
    async with running(own_house) as (service, client):
        await client.get("/healthz")
        await client.get("/v1/models?secret=1")
        await client.get("/secret")
        client.headers["authorization"] = f"Bearer {own_house.issuer.token(tenant='acme')}"
        client.headers["traceparent"] = f"00-{TRACE}-{PARENT}-01"
        chat = await client.post("/v1/chat/completions", json=ask("secret"))
        await client.get("/v1/jobs/job-secret?after=secret")
        await service.stop(signal.SIGINT)
        errors = service.errors
    lines = [json.loads(line) for line in errors.splitlines()]
    access = [line for line in lines if line["logger"] == "gateway.access"]

    # A line is written once its answer is out, so the next request's may come before it.
    by_route = {line["route"]: line for line in access}
    assert len(access) == 4
    assert {
        route: (line["method"], line["status"], line["tenant"]) for route, line in by_route.items()
    } == {
        "/v1/models": ("GET", 401, None),
        "unknown": ("unknown", 404, None),
        "/v1/chat/completions": ("POST", 200, "acme"),
        "/v1/jobs/{job_id}": ("GET", 404, "acme"),
    }
    chat_line = by_route["/v1/chat/completions"]
    assert chat_line["trace_id"] == TRACE
    assert chat_line["request_id"] == chat.headers["x-request-id"]
    assert 0 < chat_line["seconds"] < 20
    assert "secret" not in errors


@pytest.mark.parametrize("wrong", ["taken port", "no keys", "no issuer", "no JSON"])
async def test_what_a_person_can_mend_is_one_clear_line(own_house: House, wrong: str):
    taken = own_house.settings.http_address
    changes, said = {
        "taken port": ({"http_address": taken}, f"cannot listen on {taken}"),
        "no keys": ({"jwks_path": "/nowhere/jwks.json"}, "/nowhere/jwks.json"),
        "no issuer": ({"jwt_issuer": ""}, "GATEWAY_JWT_ISSUER"),
        "no JSON": ({"prices": '{"base": [1'}, "GATEWAY_PRICES (no JSON: Expecting ',' delimiter"),
    }[wrong]
    status, lines = await refused_start("gateway", settings_of(own_house, **changes))

    assert status == 2
    (line,) = lines
    assert line.startswith("gateway: ")
    assert said in line


async def test_it_carries_no_heavy_library():
    heavy = {"torch", "transformers", "openvino", "spacy", "peft"}

    assert not heavy & await modules_loaded_by("modelmill_gateway.main")
