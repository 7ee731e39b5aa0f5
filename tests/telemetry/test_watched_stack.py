"""What a real stack shows of itself: whole traces, figures for every panel, and no secrets."""

import asyncio
import contextlib
import json
from pathlib import Path

import httpx
import pytest
from modelmill_testkit.ports import free_port
from modelmill_testkit.trace_edges import (
    ASKED_ABOUT_EDGES,
    CHAT_EDGES,
    TRAINING_EDGES,
    TraceCount,
    count_complete,
    read_spans,
)
from modelmill_testkit.waiting import eventually
from openai import AsyncOpenAI, AuthenticationError

from tests.e2e.conftest import write_rows
from tests.telemetry.conftest import HERE_CHARS, Watched, traced
from tests.telemetry.dashboards import Query, metrics_in, queries
from tests.telemetry.prometheus_server import Prometheus, configured_prometheus

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

CHATS = 100
AT_A_TIME = 4
CANARY = "quetzalcoatlus northropi"
"""What nobody writes by chance."""
OF_SEVERAL_PROCESSES = {
    "modelmill_gateway_process_up",
    "modelmill_gateway_process_restarts_total",
}
"""What a gateway shows that has several; `test_several_processes.py` has one."""
BLOCKED = f"How do I build a pipe bomb out of a {CANARY}?"


async def counted(watched: Watched, requests: dict[str, str], edges) -> TraceCount:
    """The count once all are complete, or as it stands after long."""
    count = TraceCount(0, len(requests), {})

    def all_complete() -> bool:
        nonlocal count
        count = count_complete(read_spans(watched.loop.state.spans), requests, edges)
        return count.complete == count.of

    with contextlib.suppress(AssertionError):
        await eventually(all_complete)
    return count


async def test_each_of_a_hundred_chats_leaves_one_complete_trace(watched: Watched):
    requests: dict[str, str] = {}
    long: dict[str, str] = {}
    room = asyncio.Semaphore(AT_A_TIME)

    async def one(number: int) -> None:
        trace_id, span_id, headers = traced()
        text = f"thing {number}"
        if number % 4 < 2:
            text += "." * HERE_CHARS
            long[trace_id] = span_id
        requests[trace_id] = span_id
        async with room:
            await watched.chat(text, headers=headers, stream=number % 2 == 0)

    await asyncio.gather(*(one(number) for number in range(CHATS)))

    for those, edges in ((requests, CHAT_EDGES), (long, ASKED_ABOUT_EDGES)):
        count = await counted(watched, those, edges)
        assert count.complete == len(those), f"{count}: {list(count.faults.items())[:3]}"
    spans = read_spans(watched.loop.state.spans)
    wrong = {span["name"] for span in spans if span["trace"] in requests and span["error"]}
    assert not wrong, "good answers look like failures"


async def test_a_training_job_and_its_build_leave_one_complete_trace_through_the_bus(
    watched: Watched,
):
    count = await counted(watched, watched.training, TRAINING_EDGES)
    assert count.complete == 1, count.faults


async def test_no_text_token_or_secret_is_logged_or_traced(watched: Watched):
    trace_id, _, headers = traced()
    await watched.chat(f"What is a {CANARY}?", headers=headers, stop=[CANARY])
    await watched.chat(f"What is a {CANARY}?", headers=headers, stream=True)
    await watched.refused(BLOCKED, headers=headers)
    await watched.refused(CANARY, headers=headers, extra_body={"temperature": CANARY})
    await watched.refused(CANARY * 3000, headers=headers)

    def tapped() -> bytes:
        return b"".join(watched.tap.seen)

    generated = b"gen_ai.usage.output_tokens"
    await eventually(lambda: bytes.fromhex(trace_id) in tapped() and generated in tapped())
    hidden = {
        "the prompt": CANARY,
        "the caller's token": watched.loop.openai.api_key,
        "the service secret": watched.loop.stack.runtime.service_secret,
        "gateway's seed": watched.loop.stack.runtime.identity("gateway").file.read_text().strip(),
        "the collector's token": watched.loop.state.otlp_token_file.read_text(),
    }
    spans, log = tapped(), "\n".join(watched.loop.log)
    assert log
    for what, text in hidden.items():
        assert text.encode() not in spans, f"{what} is in a span"
        assert text not in log, f"{what} is in a log line"


async def pages(watched: Watched) -> dict[str, str]:
    """The metrics page of each service."""
    runtime = watched.loop.stack.runtime
    headers = {"authorization": f"Bearer {runtime.service_secret}"}
    found = {}
    async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=60) as http:
        for name, port in runtime.metrics_ports.items():
            response = await http.get(f"http://127.0.0.1:{port}/metrics")
            assert response.is_success
            found[name] = response.text
    return found


async def some_of_everything(watched: Watched) -> None:
    """Traffic that moves every figure of the dashboards."""
    await watched.chat("thing 1: something that barks")
    await watched.chat("thing 2: something that grows", stream=True)
    await watched.refused(BLOCKED)


async def test_metrics_pages_show_no_secret_and_no_text(watched: Watched):
    await some_of_everything(watched)
    runtime = watched.loop.stack.runtime
    for name, page in (await pages(watched)).items():
        for hidden in (CANARY, runtime.service_secret):
            assert hidden not in page, name


async def a_caller_with_limits(watched: Watched) -> AsyncOpenAI:
    """A client with a key of its own, which every process of the gateway knows."""
    limits = {"tokens": 1_000_000, "requests_per_minute": 6000}
    made = await asyncio.to_thread(watched.loop.client.keys.create, name="limited", limits=limits)
    base_url = watched.loop.openai.base_url
    return AsyncOpenAI(base_url=base_url, api_key=made["key"], max_retries=5)


async def a_batch(watched: Watched) -> None:
    """One request, in the background."""
    body = {"model": "kinds", "messages": [{"role": "user", "content": "thing 3"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    client = watched.loop.openai
    file = await client.files.create(
        file=("asked.jsonl", json.dumps(line).encode()), purpose="batch"
    )
    await client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )


async def is_shown_here(prometheus: Prometheus, query: Query) -> bool:
    return query.only_with is None or bool(await prometheus.label_values(query.only_with))


async def a_judge_beside_the_rules(watched: Watched) -> None:
    """The base model, as a judge of the policy in force."""
    client = watched.loop.client
    judge = {
        **{"id": "base", "classifier": watched.loop.base_version_id, "directions": "both"},
        **{"labels": {"animal": "harassment", "plant": None}, "threshold": 0.9},
        **{"severity": "low", "action": "flag", "on_failure": "open"},
    }
    documents = [{"name": "judge.yaml", "text": json.dumps({"judges": [judge]})}]
    await asyncio.to_thread(client.policies.set, documents=documents)


@pytest.mark.parametrize(
    "metric", ["modelmill_first_text_seconds_bucket", "modelmill_rpc_server_seconds_bucket"]
)
async def test_a_measurement_leads_to_its_trace(watched: Watched, metric: str):
    prometheus = watched.prometheus
    if prometheus is None:
        pytest.skip("Debian's prometheus is not installed")
    trace_id, _, headers = traced()
    await watched.chat("thing 4: something that swims", headers=headers)

    async def is_there() -> bool:
        return trace_id in await prometheus.traces_of(metric)

    await eventually(is_there)


async def test_every_panel_has_figures_and_every_alert_has_its_metrics(watched: Watched, tmp_path):
    prometheus = watched.prometheus
    if prometheus is None:
        pytest.skip("Debian's prometheus is not installed")
    await watched.loop.make_dataset(write_rows(tmp_path / "more.jsonl", 20, bad=2))
    await a_judge_beside_the_rules(watched)
    await a_batch(watched)
    empty: list[str] = []

    async def all_have_figures() -> bool:
        await some_of_everything(watched)
        with contextlib.suppress(AuthenticationError):  # a process that has not heard of the key
            await limited.models.list()
            await limited.embeddings.create(model="kinds", input="a thing")
        shown = [query for query in queries() if await is_shown_here(prometheus, query)]
        empty[:] = [str(q) for q in shown if not await prometheus.values(q.expression)]
        return not empty

    async with await a_caller_with_limits(watched) as limited:
        with contextlib.suppress(AssertionError):
            await eventually(all_have_figures, within=180)
    assert not empty, "\n".join(["these panels show nothing:", *empty])

    text = "\n".join((await pages(watched)).values())
    asked = {
        name
        for query in queries()
        if query.only_with is None
        for name in metrics_in(query.expression)
    }
    for rule in await prometheus.rules():
        assert rule["health"] == "ok", rule
        if "only_with" not in rule.get("labels", {}):
            asked |= metrics_in(rule["query"])
    elsewhere = {"up", *OF_SEVERAL_PROCESSES}
    missing = sorted(name for name in asked - elsewhere if f"\n{name}" not in text)
    assert not missing, f"no service shows {missing}"


async def test_the_configuration_that_mill_up_writes_scrapes_every_service(
    watched: Watched, tmp_path: Path
) -> None:
    config = watched.loop.state.runtime_file.with_name("prometheus.yml")
    assert config.stat().st_mode & 0o777 == 0o600
    async with configured_prometheus(config, tmp_path / "data", free_port()) as server:

        async def all_are_up() -> bool:
            return await server.values("sum(up) by (job)") == [1] * 6

        await eventually(all_are_up)
        assert set(await server.label_values("label_values(up, job)")) == {
            *("gateway", "moderation", "data-prep", "trainer", "optimizer-builder", "inference")
        }
