"""The inference service is asked patiently, and what it cannot answer costs one question alone."""

from base64 import b64encode

import grpc
import pytest
from data_prep.adapters.inference_models import PATIENCE_SECONDS, InferenceModels
from data_prep.ask_models import LOSS, TEXT, ModelAnswer, OpenModels
from data_prep_support.inference import (
    NEWER,
    VERSION,
    FakeInference,
    Sleeper,
    inference_models,
    refusal,
    serving,
)
from jobs.errors import JobFailed
from modelmill.inference.v1.inference_service_pb2 import ScoreRequest
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from service_kit.errors import NotFoundError, PreconditionError, UnavailableError
from service_kit.grpc_client import open_channel
from testkit.service_process import SECRET

NO_ROOM = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "7")
AWAY = refusal(grpc.StatusCode.UNAVAILABLE)
LATE = refusal(grpc.StatusCode.DEADLINE_EXCEEDED)


def scoring(text: str, model: str = VERSION) -> ScoreRequest:
    return ScoreRequest(tenant="acme", model=model, text="a", continuations=[text])


async def written(models: InferenceModels, prompt: str, model: str = VERSION) -> ModelAnswer:
    return await models.text(
        tenant="acme", model=model, prompt=prompt, max_new_tokens=20, seed=2**64 + 7
    )


async def test_the_loss_is_that_of_a_mean_token() -> None:
    answer = await inference_models(FakeInference()).loss(scoring("abab"))

    assert answer == ModelAnswer(2.0, VERSION)


async def test_a_text_is_asked_for_greedily_over_a_socket_and_taken_whole() -> None:
    service = FakeInference()
    async with serving(service) as address, open_channel(address, SECRET) as channel:
        models = InferenceModels(InferenceServiceStub(channel))
        answers = [await written(models, prompt) for prompt in ("one", "endless", "unreadable")]
        with pytest.raises(NotFoundError, match="no model other"):
            await written(models, "one", "other")

    assert answers == [
        ModelAnswer("one, or so", VERSION),
        ModelAnswer(None, "", "the answer has no end: length"),
        ModelAnswer(None, "", "the prompt is too long"),
    ]
    request = service.requests[0]
    assert (request.tenant, request.model) == ("acme", VERSION)
    options = request.options
    assert (options.max_new_tokens, options.seed, options.temperature) == (20, 7, 0)


async def test_a_service_without_room_is_asked_again_when_it_says() -> None:
    sleeper = Sleeper()
    models = inference_models(FakeInference(NO_ROOM, AWAY, LATE), sleeper)

    assert (await models.loss(scoring("b"))).value == 1.0
    # As long as the service asks for, else longer each time: 0.5, 1, 2 seconds.
    assert sleeper.waits == [7.0, 2.0, 2.0]


@pytest.mark.parametrize("failure", [AWAY, NO_ROOM, LATE])
async def test_patience_has_an_end_after_which_the_job_shall_wait(failure: Exception) -> None:
    sleeper = Sleeper()

    with pytest.raises(UnavailableError):
        await inference_models(FakeInference(*[failure] * 1_000), sleeper).loss(scoring("b"))

    assert PATIENCE_SECONDS <= sum(sleeper.waits) < PATIENCE_SECONDS + 60


async def test_the_time_that_calls_take_is_waited_too() -> None:
    seconds = iter(range(0, 1_000_000, 100))
    sleeper = Sleeper()
    stub = inference_models(FakeInference(*[LATE] * 100))._stub
    models = InferenceModels(stub, sleep=sleeper, clock=lambda: next(seconds))

    with pytest.raises(UnavailableError):
        await models.loss(scoring("b"))

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


async def test_a_child_asks_the_models_of_its_spec_alone_and_as_its_own_tenant() -> None:
    service = FakeInference()
    models = OpenModels(inference_models(service), "acme", {(LOSS, "base"): NEWER})
    forged = scoring("b")
    forged.tenant = "other"
    request = b64encode(forged.SerializeToString()).decode()

    answer = await models({"asks": LOSS, "model": "base", "request": request})

    assert answer == {"value": 1.0, "version": NEWER, "refusal": ""}
    assert [(asked.tenant, asked.model) for asked in service.requests] == [("acme", NEWER)]
    for asks, model in ((LOSS, VERSION), (TEXT, "base")):
        with pytest.raises(KeyError):
            await models({"asks": asks, "model": model, "request": request})


async def test_a_model_that_is_gone_while_it_is_asked_fails_the_job_for_good() -> None:
    models = OpenModels(inference_models(FakeInference()), "acme", {(LOSS, "base"): "mv-gone"})
    request = b64encode(scoring("b").SerializeToString()).decode()

    with pytest.raises(JobFailed) as failed:
        await models({"asks": LOSS, "model": "base", "request": request})

    assert failed.value.code == "MODEL_GONE"


async def test_a_model_that_cannot_be_asked_at_all_is_no_model_without_answers() -> None:
    no_template = refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")

    with pytest.raises(PreconditionError, match="base cannot be asked"):
        await inference_models(FakeInference(no_template)).writer("acme", "base")
    with pytest.raises(NotFoundError):
        await inference_models(FakeInference()).scorer("acme", "other")
