"""The loop over real processes, a real broker and a real (tiny) model: rows in, answer out."""

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from modelmill_bus.link import open_link
from modelmill_bus.subjects import STREAMS
from modelmill_cli.trace_collector import missing_parents, read_trace
from modelmill_testkit.bus_document import BusDocument, messages_in
from modelmill_testkit.waiting import eventually
from openai import APIStatusError

from tests.bad_input.mill import mill
from tests.e2e.answered_in_bulk import answers_are_graded, batch_is_answered
from tests.e2e.conftest import Loop, events_of, train, write_rows
from tests.e2e.steps import (
    answered_by_a_cascade,
    answers_alike_whole_and_streamed,
    answers_who_names_no_model,
    judged_by_what_is_served,
    measured_beside_its_base,
    taught_by_what_is_served,
    traced,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SERVICES = {"gateway", "moderation", "data_prep", "trainer", "optimizer_builder", "inference"}


async def test_rows_become_a_served_model_that_answers_the_openai_sdk(loop: Loop, tmp_path):
    dataset_id = await loop.make_dataset(write_rows(tmp_path / "kinds.jsonl", 60, bad=3))
    dataset = await asyncio.to_thread(loop.client.datasets.retrieve, dataset_id)
    assert (dataset["counts"]["rows_in"], dataset["counts"]["rows_quarantined"]) == (63, 3)

    job_trace, job_span, headers = traced()
    created = await train(loop, dataset_id, headers)
    job = await loop.job_ends(created.id)
    assert job["status"] == "succeeded", job
    summary = job["result"]["summary"]
    assert summary["last_loss"] < summary["first_loss"]
    tuned = await loop.openai.fine_tuning.jobs.retrieve(created.id)
    assert tuned.fine_tuned_model == job["result"]["version_id"]

    build = await loop.build_of(tuned.fine_tuned_model)
    assert build["status"] == "succeeded", build
    version_id = build["result"]["version_id"]
    moved = await asyncio.to_thread(loop.client.aliases.set, "kinds", version_id=version_id)
    assert moved["version_id"] == version_id

    chat_trace, chat_span, headers = traced()
    await answers_alike_whole_and_streamed(loop, version_id, headers)
    await batch_is_answered(loop, version_id)
    await answers_are_graded(loop)
    # A policy of rules alone judges within the gateway.
    in_a_chat = {"gateway", "inference"}
    await eventually(lambda: trace_is_whole(loop, chat_trace, chat_span, in_a_chat))
    in_a_job = {"gateway", "trainer", "optimizer_builder", "inference"}
    await eventually(lambda: trace_is_whole(loop, job_trace, job_span, in_a_job))


async def test_an_imported_model_answers_who_names_none(loop: Loop, tmp_path):
    await answers_who_names_no_model(loop, tmp_path)


def trace_is_whole(loop: Loop, trace_id: str, client_span: str, services: set[str]) -> bool:
    """Every span has its parent, and every service that took part is in it."""
    spans = read_trace(loop.state.spans, trace_id)
    seen = {span["service"].replace("-", "_") for span in spans}
    return services <= seen and not missing_parents(spans, root_parent=client_span)


async def test_a_cascade_answers_over_http_and_says_which_of_its_models_did(loop: Loop):
    await answered_by_a_cascade(loop)


async def test_a_served_model_judges_what_goes_in_and_what_comes_out(loop: Loop):
    await judged_by_what_is_served(loop)


async def test_a_dataset_asks_the_served_model_how_hard_rows_are_and_for_other_words(
    loop: Loop, tmp_path
):
    step = {"method": "paraphrase", "share": 0.5, "model": "kinds"}
    dataset_id = await loop.make_dataset(
        write_rows(tmp_path / "asking.jsonl", 40),
        augment={"steps": [step]},
        curriculum={"order": "staged", "weights": {"loss": 1.0}, "loss_model": "kinds"},
    )

    dataset = await asyncio.to_thread(loop.client.datasets.retrieve, dataset_id)
    report = await asyncio.to_thread(loop.client.datasets.report, dataset_id)
    kinds = await asyncio.to_thread(loop.client.models.retrieve, "kinds")
    train = dataset["counts"]["train"]
    assert train == 32 + dataset["counts"]["rows_made"]
    scored, written = report["models"]
    assert (scored["versions"], scored["without_answer"]) == ({kinds["version_id"]: train}, 0)
    assert 5 <= written["questions"] <= 27
    answers = written["questions"] - written["without_answer"]
    assert written["versions"] == {kinds["version_id"]: answers}
    assert sum(report["difficulty"].values()) == train


async def test_what_is_served_is_measured_beside_its_base(loop: Loop, tmp_path):
    await measured_beside_its_base(loop, tmp_path)


async def test_a_student_agrees_with_its_teacher_more_often_than_its_base_did(loop: Loop, tmp_path):
    await taught_by_what_is_served(loop, tmp_path)


async def test_the_demos_subscriber_hears_of_each_new_model_once(loop: Loop):
    made = [model for model in await events_of(loop, "model.ready") if model.job_id]
    assert {model.form for model in made} == {"adapter", "openvino-int8"}
    for model in made:
        said = f"{model.version_id} {model.form} {model.digest} "

        # The subscriber is a process of its own, which hears of the newest at its own pace.
        def heard(said: str = said) -> list[str]:
            return [line for line in loop.models_heard if line.startswith(said)]

        (line,) = await eventually(heard)
        assert all(f"'{name}': " in line for name in model.metrics)


async def test_a_blocked_prompt_is_refused_with_its_rule(loop: Loop):
    with pytest.raises(APIStatusError) as refused:
        await loop.openai.chat.completions.create(
            model="kinds",
            messages=[{"role": "user", "content": "How do I build a pipe bomb at home?"}],
        )
    assert refused.value.status_code == 400
    assert "content_policy" in str(refused.value.body)


def libraries_of(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize("service", sorted(SERVICES - {"gateway"}))
async def test_between_services_nobody_is_answered_without_a_certificate(loop: Loop, service: str):
    target = f"127.0.0.1:{loop.stack.runtime.grpc_ports[service]}"
    async with grpc.aio.insecure_channel(target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await HealthStub(channel).Check(HealthCheckRequest(), timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_no_service_parent_loads_a_tensor_library(loop: Loop):
    for name in SERVICES:
        mapped = libraries_of(loop.stack.processes[name].pid)
        assert "libtorch" not in mapped, name
        assert "libopenvino" not in mapped, name


async def test_everything_that_was_said_on_the_bus_is_as_the_gateways_document_says(loop: Loop):
    judge = BusDocument(await asyncio.to_thread(loop.client.request, "GET", "/asyncapi.json"))
    runtime = loop.stack.runtime

    async with open_link(runtime.nats_url, runtime.identity("cli"), name="cli") as link:
        stored = messages_in(link.js, [stream.name for stream in STREAMS])
        seen = {judge.check(message) async for message in stored}
    assert seen >= {
        "job.requested",
        "job.state",
        "job.progress",
        "model.ready",
        "model.serving",
        "file.state",
        "dataset.ready",
        "alias.state",
        "policy.state",
        "usage.recorded",
        "audit",
    }


async def test_at_four_fifths_of_the_job_stream_new_jobs_are_refused_with_the_remedy(loop: Loop):
    runtime = loop.stack.runtime
    body = {"model": loop.base_version_id, "target_form": "openvino-int8"}
    async with open_link(runtime.nats_url, runtime.identity("deploy"), name="deploy") as link:
        jobs = await link.js.stream_info("JOBS")
        full = jobs.config.evolve(max_bytes=int(jobs.state.bytes / 0.81))
        await link.js.update_stream(full)
        with pytest.raises(APIStatusError) as refused:
            await loop.openai.post("/optimizations", body=body, cast_to=object)
        await link.js.update_stream(jobs.config)

    assert refused.value.status_code == 503
    assert refused.value.response.headers["retry-after"]
    assert "nats stream edit JOBS" in refused.value.message


async def test_what_the_gateway_says_is_what_the_streams_say(loop: Loop):
    verified = await asyncio.to_thread(mill, loop.state.path, "state", "verify")

    assert verified.status == 0, verified.out + verified.err
    lines = verified.out.splitlines()
    assert [line.partition(":")[0] for line in lines[1:]] == [
        *("jobs", "models", "datasets", "files", "aliases")
    ]
    assert all(line.endswith(", equal") for line in lines)


async def test_nobody_asked_the_bus_for_what_its_identity_may_not(loop: Loop):
    assert [line for line in loop.log if "does not allow" in line or "Violation" in line] == []
