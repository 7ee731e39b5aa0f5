"""One trace from the caller through the queue, the worker and the announcement."""

import asyncio

import pytest
from chain_worker import ChainHandler
from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_PAUSED, JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED
from modelmill_bus.subjects import MODEL_READY, usage_recorded
from modelmill_testkit.waiting import eventually
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """Every span of this process that ends from now on."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    exporter = InMemorySpanExporter()
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()


async def test_one_trace_runs_from_the_submit_to_whoever_hears_of_the_model(
    spans, bus, jobs, working, store
):
    stopping, followed = asyncio.Event(), asyncio.Event()

    async def follow(_stored) -> None:
        followed.set()

    with trace.get_tracer("test").start_as_current_span("client") as client:
        job = await jobs.submit()
    consuming = asyncio.create_task(bus.consume("follower", [MODEL_READY], follow, stopping))
    async with working(ChainHandler(store)):
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(followed.is_set)
    stopping.set()
    await consuming

    mine = client.get_span_context().trace_id
    finished = {s.name: s for s in spans.get_finished_spans() if s.context.trace_id == mine}
    names = {span.context.span_id: name for name, span in finished.items()}

    def parent(name: str) -> str:
        return names[finished[name].parent.span_id]

    assert parent("publish job.requested.*.*.*") == "client"
    assert parent("job train") == "publish job.requested.*.*.*"
    assert parent("publish job.state.*") == "job train"
    assert parent("publish model.ready") == "job train"
    assert parent("process model.ready") == "publish model.ready"
    assert finished["job train"].attributes == {
        "job.id": job.job_id,
        "job.kind": "train",
        "tenant": "acme",
        "attempt": 1,
        "outcome": "succeeded",
    }
    assert not any("progress" in name for name in finished)


async def test_what_nobodys_request_brings_about_begins_no_trace(spans, bus):
    await bus.publish(usage_recorded("acme"), UsageBatch(tenant="acme"))

    stored = await bus.last(usage_recorded("acme"), UsageBatch)
    assert not trace.get_current_span(stored.trace).get_span_context().is_valid
    assert [span.name for span in spans.get_finished_spans() if "usage" in span.name] == []


def is_child(child: ReadableSpan, parent: ReadableSpan) -> bool:
    return child.parent.span_id == parent.context.span_id


def linked(span: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in span.links}


async def test_pause_and_resume_are_in_the_trace_of_whoever_asked_and_linked_to_the_request(
    spans, jobs, working, store
):
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("client") as client:
        job = await jobs.submit(steps=60, wait_at=30)  # it does not end before it was paused
    handler = ChainHandler(store)
    async with working(handler):
        await jobs.until(job.job_id, JOB_STATUS_RUNNING)
        with tracer.start_as_current_span("pauser") as pauser:
            await jobs.pause(job.job_id)
        await jobs.until(job.job_id, JOB_STATUS_PAUSED)
        handler._changes["wait_at"] = 0
        with tracer.start_as_current_span("resumer") as resumer:
            await jobs.resume(job.job_id)
        await jobs.until(job.job_id, JOB_STATUS_SUCCEEDED)
        await eventually(jobs.all_acknowledged)

    def of(person) -> dict[str, ReadableSpan]:
        mine = person.get_span_context().trace_id
        return {s.name: s for s in spans.get_finished_spans() if s.context.trace_id == mine}

    asked, paused, resumed = of(client), of(pauser), of(resumer)
    assert asked["job train"].attributes["outcome"] == "paused"
    assert asked["job train"].status.is_unset
    assert is_child(paused["publish job.control.*"], paused["pauser"])
    assert is_child(paused["process job.control.*"], paused["publish job.control.*"])
    assert is_child(paused["publish job.state.*"], paused["process job.control.*"])
    assert linked(paused["process job.control.*"]) == {asked["job train"].context.span_id}
    assert is_child(resumed["publish job.control.*"], resumed["resumer"])
    assert is_child(resumed["publish job.resumed.*.*.*"], resumed["resumer"])
    assert is_child(resumed["job train"], resumed["publish job.resumed.*.*.*"])
    assert linked(resumed["job train"]) == {asked["publish job.requested.*.*.*"].context.span_id}
    assert is_child(resumed["publish model.ready"], resumed["job train"])
