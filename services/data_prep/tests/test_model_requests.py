"""A parent asks the models of its spec alone, and makes of answers what its child needs."""

from base64 import b64encode

import pytest
from modelmill.inference.v1.inference_service_pb2 import ScoreRequest
from modelmill_data_prep.model_requests import LOSS, TEXT, JobModelRequests
from modelmill_jobs.errors import JobFailed
from modelmill_testkit.fake_inference import NEWER, VERSION, FakeInference, inference_models


def scoring(text: str) -> ScoreRequest:
    return ScoreRequest(tenant="acme", model=VERSION, text="a", continuations=[text])


def opened(service: FakeInference) -> JobModelRequests:
    versions = {(LOSS, "base"): VERSION, (TEXT, "base"): VERSION}
    return JobModelRequests(inference_models(service), "acme", versions)


async def test_the_loss_is_that_of_a_mean_token() -> None:
    request = b64encode(scoring("abab").SerializeToString()).decode()

    answer = await opened(FakeInference())({"asks": LOSS, "model": "base", "request": request})

    assert answer == {"value": 2.0, "version": VERSION, "refusal": ""}


async def test_a_text_is_asked_for_greedily_and_one_without_an_end_is_none() -> None:
    service = FakeInference()
    models = opened(service)

    def question(prompt: str) -> dict[str, object]:
        limits = {"max_new_tokens": 20, "seed": 2**64 + 7}
        return {"asks": TEXT, "model": "base", "prompt": prompt, **limits}

    answers = [await models(question(prompt)) for prompt in ("one", "endless", "unreadable")]

    assert answers == [
        {"value": "one, or so", "version": VERSION, "refusal": ""},
        {"value": None, "version": "", "refusal": "the answer is incomplete: length"},
        {"value": None, "version": "", "refusal": "the prompt is too long"},
    ]
    request = service.requests[0]
    assert (request.tenant, request.model) == ("acme", VERSION)
    options = request.options
    assert (options.max_new_tokens, options.seed, options.temperature) == (20, 7, 0)


async def test_a_child_asks_the_models_of_its_spec_alone_and_as_its_own_tenant() -> None:
    service = FakeInference()
    models = JobModelRequests(inference_models(service), "acme", {(LOSS, "base"): NEWER})
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
    models = JobModelRequests(
        inference_models(FakeInference()), "acme", {(LOSS, "base"): "mv-gone"}
    )
    request = b64encode(scoring("b").SerializeToString()).decode()

    with pytest.raises(JobFailed) as failed:
        await models({"asks": LOSS, "model": "base", "request": request})

    assert failed.value.code == "MODEL_GONE"
