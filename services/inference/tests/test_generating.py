"""Generate, LoadModel and ListServing through a real socket, broker, store and engine process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from grpc import StatusCode
from grpc.aio import AioRpcError
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill_inference.children.openvino_lookup import TRIED_EVERY
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError
from modelmill_testkit.processes import children_that_run
from modelmill_testkit.waiting import eventually
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from prometheus_client import REGISTRY, generate_latest

from .support import Service, nats_and_inference, resting_cpu_seconds

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

WHOLE_TOKENS = 4 * 480
"""Of four answers that fill the context, at least."""
QUESTIONS = [f"thing {number}: something that barks, 价格 {number}" for number in range(8)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    artifact_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    folder = tmp_path_factory.mktemp("nats")
    async with nats_and_inference(folder, artifact_root, max_in_flight=20) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def version(service: Service, digest: str) -> str:
    return await service.served(digest)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def long_texts(service: Service, version: str) -> list[str]:
    """Four prompts whose answers fill the context."""
    found: list[str] = []
    for number in range(100):
        answer = await service.answer(version, text=f"a {number}")
        if answer.end.finish_reason == "length":
            found.append(f"a {number}")
        if len(found) == 4:
            break
    return found


async def test_a_replica_tells_its_memory_and_what_each_engine_could_take(
    service: Service, version: str
) -> None:
    response = await service.stub.ListServing(pb.ListServingRequest(), timeout=60)

    (served,) = (each for each in response.models if each.version_id == version)
    assert (served.in_flight, served.max_in_flight) == (0, 20)
    assert (served.sequences, served.waiting, served.tokens) == (0, 0, 0)
    assert min(served.max_sequences, served.max_waiting, served.max_tokens) > 0
    assert 0 < served.memory_bytes <= response.memory.reserved_bytes
    assert response.memory.reserved_bytes < response.memory.limit_bytes
    assert 0 < response.memory.room_bytes <= response.memory.limit_bytes


async def is_idle(service: Service, version_id: str) -> bool:
    return await service.in_flight(version_id) == 0


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_twenty_first_requests_cause_one_load(service: Service, digest: str) -> None:
    version_id = await service.announce(digest)

    answers = await asyncio.gather(*(service.load_when_known(version_id) for _ in range(20)))

    assert {answer.engine for answer in answers} == {"openvino"}
    assert all(answer.load_seconds > 0 for answer in answers)
    assert (await service.load(version_id)).load_seconds == 0
    # It is told behind the load.
    said = await eventually(lambda: service.said(version_id))
    assert [fact.state for fact in said] == [1]
    assert said[0].replica == service.running.replica


async def test_a_streamed_answer_is_the_whole_answer_and_says_what_it_cost(
    service: Service, version: str
) -> None:
    messages = [("system", "Be brief."), ("user", QUESTIONS[0])]

    first = await service.answer(version, messages=messages, max_new_tokens=400)
    again = await service.answer(version, messages=messages, max_new_tokens=400)

    assert first.text == again.text
    assert first.pieces > 1
    assert first.end.version_id == version
    assert first.end.finish_reason in ("length", "stop")
    assert first.end.usage.prompt_tokens > len("Be brief.") / 4
    assert 0 < first.end.usage.completion_tokens <= 400
    assert first.end.first_token_seconds > 0


async def test_usage_and_figures_say_how_many_tokens_were_drafted(
    service: Service, lookup_folder: Path, artifact_root: Path
) -> None:
    store = FolderStore(artifact_root)
    digest = store.commit(lookup_folder, kind="model", form="openvino-int8").digest
    version = await service.served(digest)
    labels = {"version": version}

    # Where drafts are slower only some requests draft, and not every answer repeats itself.
    accepted: list[int] = []
    while not any(accepted) and len(accepted) < 4 * TRIED_EVERY:
        answer = await service.answer(version, text=f"{len(accepted)} and on " * 20)
        accepted.append(answer.end.usage.accepted_prediction_tokens)
    drawn = await service.answer(version, text="and on " * 20, temperature=1.0, seed=1)

    assert any(accepted)
    assert drawn.end.usage.accepted_prediction_tokens == 0
    counted = REGISTRY.get_sample_value("modelmill_accepted_draft_tokens_total", labels)
    assert counted == sum(accepted)


async def test_eight_at_once_get_what_they_get_alone(service: Service, version: str) -> None:
    alone = [await service.answer(version, text=text, max_new_tokens=24) for text in QUESTIONS]

    together = await asyncio.gather(
        *(service.answer(version, text=text, max_new_tokens=24) for text in QUESTIONS)
    )

    assert [answer.text for answer in together] == [answer.text for answer in alone]


async def test_answers_to_one_request_are_those_that_their_seeds_give_alone(
    service: Service, version: str
) -> None:
    wanted = {"text": "a thing", "temperature": 1.5, "max_new_tokens": 16}
    request = service.request(version, seed=7, **wanted)
    request.answers = 3
    pieces = [piece async for piece in service.stub.Generate(request, timeout=30)]

    for index in range(3):
        alone = await service.answer(version, seed=7 + index, **wanted)
        assert alone.text == "".join(p.text_delta for p in pieces if p.index == index)


async def test_a_stop_text_ends_the_answer(service: Service, version: str) -> None:
    whole = await service.answer(version, text="the kind", max_new_tokens=40)
    stop = whole.text[10:13]

    cut = await service.answer(version, text="the kind", max_new_tokens=40, stop=[stop])

    assert cut.text == whole.text[: whole.text.index(stop)]
    assert (cut.end.finish_reason, cut.end.stop_text, whole.end.stop_text) == ("stop", stop, "")
    assert cut.end.usage.completion_tokens <= whole.end.usage.completion_tokens


def engine_tokens() -> float:
    return figure("modelmill_engine_tokens_total", engine="openvino")


@asynccontextmanager
async def halfway(service: Service, version_id: str, texts: list[str]) -> AsyncIterator[list[Any]]:
    """Streams that have begun and are not half done, while engines stand still.

    Behind it the engines have come to rest.
    """
    engines = children_that_run("modelmill_inference.children")
    # On a busy machine they may have ended before we look: then once more.
    for _ in range(20):
        before = engine_tokens()
        streams = [service.stream(version_id, text=text) for text in texts]
        for stream in streams:
            await stream.read()
        for engine in engines:
            engine.suspend()
        try:
            are_all_there = await service.in_flight(version_id) == len(streams)
            is_early = are_all_there and engine_tokens() - before < WHOLE_TOKENS / 2
            if is_early:
                yield streams
        finally:
            for engine in engines:
                engine.resume()
        for stream in streams:
            stream.cancel()
        await eventually(lambda: is_idle(service, version_id))
        for engine in engines:
            await resting_cpu_seconds(engine)
        if is_early:
            # What it had gathered before is told, and some steps may have been under way.
            assert engine_tokens() - before < WHOLE_TOKENS * 0.8
            return
    raise AssertionError("each time the answers were half done when it was looked")


async def test_clients_that_leave_free_their_slots(
    service: Service, version: str, long_texts: list[str]
) -> None:
    def cancelled() -> float:
        return figure("modelmill_generations_total", outcome="cancelled")

    async with halfway(service, version, long_texts) as streams:
        before = cancelled()
        for stream in streams:
            stream.cancel()
        await eventually(lambda: cancelled() == before + len(streams))

    assert figure("modelmill_requests_in_flight", version=version) == 0
    await service.answer(version, text="there is room again", max_new_tokens=1)


async def test_a_deadline_ends_the_generation(
    service: Service, version: str, long_texts: list[str]
) -> None:
    request = service.request(version, text=long_texts[0], max_new_tokens=500)

    with pytest.raises(AioRpcError) as ended:
        async for _ in service.stub.Generate(request, timeout=0.05):
            pass

    assert ended.value.code() is StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: is_idle(service, version))


async def test_a_prompt_over_the_limit_is_refused_with_both_numbers(
    service: Service, version: str
) -> None:
    with pytest.raises(InvalidInputError, match="has 512 tokens, the limit is 511") as caught:
        await service.answer(version, text="1" * 512)
    assert caught.value.reason == "PROMPT_TOO_LONG"
    with pytest.raises(InvalidInputError, match=r"at least \d+ tokens, the limit is 511"):
        await service.answer(version, messages=[("user", "x" * 1_000_000)])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"text": ""}, "prompt is empty"),
        ({"messages": []}, "no messages"),
        ({"messages": [("robot", "hi")]}, "role 'robot'"),
        ({"text": "x", "temperature": -1.0}, "temperature"),
        ({"text": "x", "temperature": float("nan")}, "temperature"),
        ({"text": "x", "top_p": 1.5}, "top_p"),
        ({"text": "x", "stop": [""]}, "stop text"),
        ({"text": "x", "temperature": -1.0, "top_p": -1.0, "stop": [""] * 17}, "stop texts"),
    ],
)
async def test_hostile_requests_are_refused_and_healthy_ones_beside_them_succeed(
    service: Service, version: str, wanted: dict[str, object], message: str
) -> None:
    healthy = asyncio.create_task(service.answer(version, text=QUESTIONS[1], max_new_tokens=16))

    with pytest.raises(InvalidInputError, match=message):
        await service.answer(version, **wanted)

    assert (await healthy).end.finish_reason in ("length", "stop")


async def test_unknown_foreign_and_unservable_versions_are_not_found(
    service: Service, version: str, digest: str
) -> None:
    adapter = await service.announce(digest, form="adapter")
    with pytest.raises(NotFoundError, match="mv-unknown"):
        await service.answer("mv-unknown", text="x")
    with pytest.raises(NotFoundError, match=version):
        await service.answer(version, text="x", tenant="other")

    async def named() -> bool:
        with pytest.raises(NotFoundError, match=adapter) as refused:
            await service.load(adapter)
        return "no engine runs 'adapter'" in str(refused.value)

    await eventually(named)


async def test_a_version_whose_artifact_is_no_build_is_refused_and_said_to_have_failed(
    service: Service, llama_folder: Path
) -> None:
    store = FolderStore(service.settings.artifact_disk)
    digest = store.commit(llama_folder, kind="model", form="openvino-int8").digest
    version_id = await service.announce(digest)

    with pytest.raises(PreconditionError, match="refused the model"):
        await service.load_when_known(version_id)
    with pytest.raises(PreconditionError, match="refused the model"):
        await service.answer(version_id, text="x")

    async def said() -> bool:
        return [fact.state for fact in await service.said(version_id)] == [3]

    await eventually(said)
    assert version_id not in await service.serving()


async def test_the_span_of_a_call_says_what_it_cost_and_never_what_was_said(
    service: Service, version: str, spans_of: Callable[[int], dict[str, ReadableSpan]]
) -> None:
    with trace.get_tracer("test").start_as_current_span("client") as client:
        answer = await service.answer(version, messages=[("user", "a canary")], max_new_tokens=5)
    trace_id = client.get_span_context().trace_id

    call = "modelmill.inference.v1.InferenceService/Generate"
    await eventually(lambda: call in spans_of(trace_id))
    spans = spans_of(trace_id)
    server = spans[call]
    for phase in ("render", "prefill", "decode"):
        parent = spans[f"inference.{phase}"].parent
        assert parent is not None
        assert parent.span_id == server.context.span_id
    said = dict(server.attributes or {})
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.provider.name"] == "modelmill"
    assert said["gen_ai.request.model"] == said["gen_ai.response.model"] == version
    assert said["gen_ai.usage.input_tokens"] == answer.end.usage.prompt_tokens
    assert said["gen_ai.usage.output_tokens"] == answer.end.usage.completion_tokens
    assert said["gen_ai.response.finish_reasons"] == (answer.end.finish_reason,)
    text = "".join(span.to_json() for span in spans.values())
    assert "canary" not in text
    assert not answer.text.strip() or answer.text not in text


def seconds(name: str, suffix: str, model: str, operation: str = "chat", **more: str) -> float:
    """A figure of one of the histograms of the GenAI conventions."""
    return figure(
        f"gen_ai_server_{name}_seconds_{suffix}",
        gen_ai_operation_name=operation,
        gen_ai_provider_name="modelmill",
        gen_ai_request_model=model,
        **more,
    )


async def test_each_request_is_measured_under_the_names_of_the_genai_conventions(
    service: Service, digest: str
) -> None:
    version = await service.served(digest)
    answer = await service.answer(version, messages=[("user", "hello")], max_new_tokens=5)
    raw = await service.answer(version, text="hello", max_new_tokens=5)

    assert seconds("request_duration", "count", version, error_type="") == 1
    assert seconds("request_duration", "count", version, "text_completion", error_type="") == 1
    took = seconds("request_duration", "sum", version, error_type="")
    first = seconds("time_to_first_token", "sum", version)
    assert 0 < first < took
    if answer.end.usage.completion_tokens > 1:
        rest = (took - first) / (answer.end.usage.completion_tokens - 1)
        assert seconds("time_per_output_token", "sum", version) == pytest.approx(rest)
    usages = (answer.end.usage, raw.end.usage)
    prompt_tokens = figure("modelmill_prompt_tokens_total", version=version)
    assert prompt_tokens == sum(usage.prompt_tokens for usage in usages)
    generated_tokens = figure("modelmill_generated_tokens_total", version=version)
    assert generated_tokens == sum(usage.completion_tokens for usage in usages)
    assert figure("modelmill_requests_in_flight", version=version) == 0
    assert figure("modelmill_requests_queued", version=version) == 0


async def test_callers_cannot_make_up_models_in_the_figures(service: Service) -> None:
    def not_found() -> float:
        return seconds("request_duration", "count", "_OTHER", error_type="not_found")

    before = not_found()
    with pytest.raises(NotFoundError):
        await service.answer("mv-made-up", messages=[("user", "hello")])
    assert not_found() == before + 1
    assert "mv-made-up" not in generate_latest().decode()
