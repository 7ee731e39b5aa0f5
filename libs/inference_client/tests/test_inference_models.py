"""The inference service is asked patiently, and what it cannot answer costs one question alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1.inference_service_pb2 import (
    Conversation,
    GenerateRequest,
    GenerateResponse,
    GenerationEnd,
    SamplingOptions,
    ScoreRequest,
)
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill_inference_client.inference_models import (
    CALL_SECONDS,
    PATIENCE_SECONDS,
    TEXT_SECONDS,
    InferenceModels,
    Likelihood,
    ModelAnswer,
    Text,
)
from modelmill_service_kit.errors import NotFoundError, PreconditionError, UnavailableError
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.fake_inference import (
    NEWER,
    VERSION,
    FakeInference,
    Sleeper,
    inference_models,
    refusal,
    serving,
)
from modelmill_testkit.service_process import SECRET

NO_ROOM = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "7")
AWAY = refusal(grpc.StatusCode.UNAVAILABLE)
LATE = refusal(grpc.StatusCode.DEADLINE_EXCEEDED)


def scoring(*texts: str, model: str = VERSION) -> ScoreRequest:
    return ScoreRequest(tenant="acme", model=model, text="a", continuations=texts)


async def written(models: InferenceModels, prompt: str, model: str = VERSION) -> ModelAnswer[Text]:
    turn = ChatMessage(role="user", content=prompt)
    return await models.text(
        GenerateRequest(
            tenant="acme",
            model=model,
            conversation=Conversation(messages=[turn]),
            options=SamplingOptions(max_new_tokens=20),
        )
    )


async def test_each_continuation_has_its_likelihood_and_its_tokens() -> None:
    answer = await inference_models(FakeInference()).likelihoods(scoring("abab", "c"))

    assert answer.value == (Likelihood(-8.0, 4, False), Likelihood(-1.0, 1, False))
    assert answer.version_id == VERSION


async def test_a_text_is_asked_for_over_a_socket_and_taken_whole() -> None:
    service = FakeInference()
    async with serving(service) as address, open_channel(address, SECRET) as channel:
        models = InferenceModels(InferenceServiceStub(channel))
        answers = [await written(models, prompt) for prompt in ("one", "endless", "unreadable")]
        with pytest.raises(NotFoundError, match="no model other"):
            await written(models, "one", "other")

    assert answers == [
        ModelAnswer(Text("one, or so", "stop"), VERSION),
        ModelAnswer(Text("endless, or so", "length"), VERSION),
        ModelAnswer(None, "", "the prompt is too long"),
    ]


class SlowInference(FakeInference):
    """Takes so many seconds of the event loop's clock for the first of three parts and others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: float, others: float) -> None:
        super().__init__()
        self._seconds, self._passed = (first, others, others), 0.0
        loop = asyncio.get_running_loop()
        time = loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + self._passed)

    async def Generate(
        self, request: GenerateRequest, context: Any
    ) -> AsyncIterator[GenerateResponse]:
        await self._take(request)
        for seconds in self._seconds:
            self._passed += seconds
            await asyncio.sleep(0.001)  # a turn in which what is due may happen
            yield GenerateResponse(text_delta="a", version_id=VERSION)
        yield GenerateResponse(end=GenerationEnd(finish_reason="stop", version_id=VERSION))


async def test_a_slow_answer_is_waited_for_in_the_queue_and_as_long_as_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = SlowInference(monkeypatch, 10 * CALL_SECONDS, 0.9 * CALL_SECONDS)

    answer = await written(inference_models(service), "one")

    assert answer == ModelAnswer(Text("aaa", "stop"), VERSION)
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("first", "others"), [(1.0, 1.1 * CALL_SECONDS), (1.1 * TEXT_SECONDS, 1.0)]
)
async def test_an_answer_that_stays_away_is_asked_for_again_until_patience_ends(
    monkeypatch: pytest.MonkeyPatch, first: float, others: float
) -> None:
    service, sleeper = SlowInference(monkeypatch, first, others), Sleeper()

    with pytest.raises(UnavailableError, match="did not answer in time"):
        await written(inference_models(service, sleeper), "one")

    assert len(service.requests) > 1
    assert sum(sleeper.waits) >= PATIENCE_SECONDS


async def test_a_service_without_room_is_asked_again_when_it_says() -> None:
    sleeper = Sleeper()
    models = inference_models(FakeInference(NO_ROOM, AWAY, LATE), sleeper)

    assert (await models.likelihoods(scoring("b"))).value == (Likelihood(-1.0, 1, False),)
    # As long as the service asks for, else longer each time: 0.5, 1, 2 seconds.
    assert sleeper.waits == [7.0, 2.0, 2.0]


@pytest.mark.parametrize("failure", [AWAY, NO_ROOM, LATE])
async def test_patience_has_an_end_after_which_the_job_shall_wait(failure: Exception) -> None:
    sleeper = Sleeper()

    with pytest.raises(UnavailableError):
        await inference_models(FakeInference(*[failure] * 1_000), sleeper).likelihoods(scoring("b"))

    assert PATIENCE_SECONDS <= sum(sleeper.waits) < PATIENCE_SECONDS + 60


async def test_the_time_that_calls_take_is_waited_too() -> None:
    seconds = iter(range(0, 1_000_000, 100))
    sleeper = Sleeper()
    stub = inference_models(FakeInference(*[LATE] * 100))._stub
    models = InferenceModels(stub, sleep=sleeper, clock=lambda: next(seconds))

    with pytest.raises(UnavailableError):
        await models.likelihoods(scoring("b"))

    assert len(sleeper.waits) < 6


async def test_an_alias_is_fixed_to_the_version_that_it_has_and_a_cascade_keeps_its_name() -> None:
    service = FakeInference()
    models = inference_models(service)
    service.alias = NEWER

    assert await models.scorer("acme", "base") == NEWER
    assert await models.writer("acme", "base") == NEWER
    assert await models.writer("acme", VERSION) == VERSION
    assert await models.writer("acme", "cascade") == "cascade"


async def test_who_opens_a_model_does_not_wait_for_a_service_that_is_away() -> None:
    sleeper = Sleeper()

    with pytest.raises(UnavailableError, match="inference does not answer"):
        await inference_models(FakeInference(AWAY), sleeper).scorer("acme", "base")

    assert sleeper.waits == []


async def test_a_model_that_cannot_be_asked_at_all_is_no_model_without_answers() -> None:
    no_template = refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")

    with pytest.raises(PreconditionError, match="base cannot be asked"):
        await inference_models(FakeInference(no_template)).writer("acme", "base")
    with pytest.raises(NotFoundError):
        await inference_models(FakeInference()).scorer("acme", "other")
