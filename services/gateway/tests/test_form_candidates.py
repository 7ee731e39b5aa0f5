"""Forms of a model, and candidates of a search, by cost and quality, with the Pareto frontier."""

from typing import Any

import pytest
from gateway_support.api_keys import issued, with_key
from gateway_support.house import House
from google.protobuf.json_format import ParseDict
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_SUCCEEDED,
    JobError,
    JobState,
)
from modelmill_bus.subjects import job_state
from modelmill_gateway.domain.access import CHAT
from modelmill_gateway.domain.form_candidates import COSTS, searched_forms
from modelmill_gateway.entrypoints.schemas.jobs import ObjectiveBody
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TENANT = "forms"
DIGEST = "sha256:" + "4" * 64
SCORED = {"dataset_id": "ds-words"}
FAST = {"speedup": 1.6, "speedup_low": 1.4, "speedup_high": 1.8}
LOSS = {"accuracy_loss": 0.01, "accuracy_loss_low": 0.0, "accuracy_loss_high": 0.02}
LOSSY = {"accuracy_loss": 0.3, "accuracy_loss_allowed": 0.02}
LOAD = {"load_prompt_tokens": 128.0, "load_output_tokens": 64.0, "load_in_flight": 1.0}


def figure(value: float, spread: float = 0.0) -> dict[str, float]:
    return {"value": value, "low": value - spread, "high": value + spread}


def point(form: str, size: float, loss: dict[str, float] | None, **more: Any) -> dict[str, Any]:
    figures = {"size_mb": figure(size), "p95_ms": figure(2 * size, 5)}
    return {
        **{"form": form, "figures": figures, "loss": loss, "agreement": 0.9},
        **{"contradictory": {}, "version_id": "", **more},
    }


SUMMARY: dict[str, Any] = {
    "verdict": "met",
    "chosen": "openvino-int8",
    "reason": "openvino-int8 has 148",
    "objective": {"p95_ms": 200.0},
    "load": {"prompt_tokens": 128, "output_tokens": 64, "in_flight": 8},
    "untried": {"onnx-fp32": "the objective was met before"},
    "points": [
        point("source", 200.0, figure(0.0), agreement=1.0),
        point("openvino-int8", 74.0, figure(0.01, 0.01), version_id="mv-int8"),
        point("onnx-int8", 80.0, figure(0.015, 0.01)),
        point("openvino-int4", 40.0, figure(0.2, 0.05), version_id="mv-int4"),
    ],
}


def found_by(summary: dict[str, Any]) -> Any:
    return searched_forms(
        summary, source_version_id="mv-source", most_lost=0.02, dataset_id="ds-words"
    )


async def test_the_frontier_of_a_search_is_that_of_its_objective_and_the_loss():
    found = found_by(SUMMARY)

    best = [
        each.form
        for each, place in zip(found.candidates, found.frontier(), strict=True)
        if "accuracy_loss" in place.get("p95_ms", [])
    ]
    assert best == ["source", "openvino-int8", "openvino-int4"]
    assert found.costs[0] == "p95_ms"
    assert found.losses == ["accuracy_loss", "disagreement"]


async def test_what_is_refused_and_what_was_not_measured_says_why():
    doubtful = point("onnx-int4", 50.0, figure(0.01), contradictory={"p95_ms": "gave 3, 9"})
    found = found_by({**SUMMARY, "points": [*SUMMARY["points"], doubtful]})

    refusals = {each.form: each.refusal for each in found.candidates if each.refusal}
    assert {form: refusal.code for form, refusal in refusals.items()} == {
        "openvino-int4": "loses_too_much",
        "onnx-int4": "contradictory",
        "onnx-fp32": "not_measured",
    }
    assert refusals["openvino-int4"].reason.startswith("loses 20.0% of the answers, more than")
    assert refusals["onnx-fp32"].reason == "the objective was met before"
    assert [each.form for each in found.candidates if each.is_chosen] == ["openvino-int8"]


async def test_without_rows_the_share_of_other_tokens_is_the_loss_and_nothing_is_limited():
    points = [{**each, "loss": None} for each in SUMMARY["points"][1:]]
    found = found_by({**SUMMARY, "points": [SUMMARY["points"][0], *points]})

    assert found.losses == ["disagreement"]
    assert found.most_lost is None
    assert found.candidates[1].losses["disagreement"].value == pytest.approx(0.1)


async def test_more_is_better_of_speed():
    figures = ({"tokens_per_s": figure(value)} for value in (10.0, 30.0, 20.0))
    lost = (figure(0.0), figure(0.01), figure(0.02))
    points = [
        {**point(f"f{number}", 1.0, loss), "figures": figures_of}
        for number, (figures_of, loss) in enumerate(zip(figures, lost, strict=True))
    ]
    found = found_by({**SUMMARY, "objective": {"tokens_per_s": 15.0}, "points": points})

    places = [bool(place.get("tokens_per_s")) for place in found.frontier()]
    assert places == [True, True, False, False]


async def test_every_objective_is_a_cost():
    assert {*ObjectiveBody.model_fields} <= {*COSTS}


async def end_build(house: House, status: int, summary: dict[str, Any], **order: Any) -> str:
    """A build or a search that has ended; its id."""
    client = house.http(tenant=TENANT)
    job_id = str((await client.post("/v1/optimizations", json=order)).json()["id"])
    state = JobState(job_id=job_id, kind="optimize", tenant=TENANT, status=status, attempt=1)
    ParseDict({"digest": DIGEST, "summary": summary}, state.result)
    if status == JOB_STATUS_FAILED:
        state.error.CopyFrom(JobError(code="NOT_SMALLER", message="it is not smaller"))
    state.updated_at.GetCurrentTime()
    await house.bus.publish(job_state(job_id), state)

    async def has_ended() -> bool:
        found = (await client.get(f"/v1/optimizations/{job_id}")).json()
        return found["status"] in ("succeeded", "failed")

    await eventually(has_ended)
    return job_id


async def test_candidates_of_a_search_come_with_bounds_verdict_and_frontier(house: House):
    order = {"model": "kinds", "objective": {"p95_ms": 200}, "load": {"in_flight": 8}}
    order |= {"dataset_id": "ds-words", "max_accuracy_loss": 0.02}
    job_id = await end_build(house, JOB_STATUS_SUCCEEDED, SUMMARY, **order)

    answer = await house.http(tenant=TENANT).get(f"/v1/optimizations/{job_id}/candidates")

    found = answer.json()
    assert answer.status_code == 200, answer.text
    assert found["objective"] == {"name": "p95_ms", "value": 200.0, "bound": "at_most"}
    assert (found["verdict"], found["max_accuracy_loss"]) == ("met", 0.02)
    assert found["load"] == {"prompt_tokens": 128, "output_tokens": 64, "in_flight": 8}
    forms = {each["form"]: each for each in found["data"]}
    assert forms["source"]["version_id"] == "mv-adapter"
    assert forms["openvino-int8"]["is_chosen"]
    assert forms["openvino-int8"]["costs"]["p95_ms"] == {"value": 148, "low": 143, "high": 153}
    assert "accuracy_loss" not in forms["onnx-int8"]["frontier"].get("p95_ms", [])
    assert forms["onnx-fp32"]["refusal"]["code"] == "not_measured"


async def test_an_infeasible_search_has_a_verdict_and_no_candidates(house: House):
    summary = {"verdict": "infeasible", "objective": {"size_mb": 1.0}, "reason": "too small"}
    order = {"model": "kinds", "objective": {"size_mb": 1}}
    job_id = await end_build(house, JOB_STATUS_FAILED, summary, **order)

    answer = await house.http(tenant=TENANT).get(f"/v1/optimizations/{job_id}/candidates")

    found = answer.json()
    assert (found["verdict"], found["reason"], found["data"]) == ("infeasible", "too small", [])


async def test_a_plain_build_has_no_candidates_and_is_told_where_forms_are(house: House):
    job_id = await end_build(house, JOB_STATUS_SUCCEEDED, {"bytes": 5}, model="kinds")

    answer = await house.http(tenant=TENANT).get(f"/v1/optimizations/{job_id}/candidates")

    assert answer.status_code == 404
    assert "GET /v1/models/{model}/forms" in answer.json()["error"]["message"]


async def furnish_forms(house: House) -> None:
    """A source with builds: two scored on the same rows, one on others, and one that failed."""
    made = {"tenant": TENANT, "parent_version_id": "mv-f", "base_version_id": "mv-f"}
    source = {"form": "safetensors", "name": "formed", "size_bytes": 200_000_000}
    await house.say_model("mv-f", tenant=TENANT, base_version_id="mv-f", **source)
    other = {"dataset_id": "ds-other", "metrics": {"accuracy_loss": 0.9, **FAST}}
    await house.say_model("mv-f-onnx8", form="onnx-int8", size_bytes=80_000_000, **made, **other)
    int4 = {"metrics": {**LOSSY, **FAST}, "size_bytes": 40_000_000, **SCORED}
    await house.say_model("mv-f-int4", form="openvino-int4", **made, **int4)
    loaded = {**LOAD, "load_p95_ms": 148.0, "load_p95_ms_low": 140.0, "load_p95_ms_high": 155.0}
    loaded |= {"load_p95_ms_source": 300.0, "parity_greedy_agreement": 0.95}
    int8 = {"metrics": {**LOSS, **FAST, **loaded}, "size_bytes": 74_000_000, **SCORED}
    await house.say_model("mv-f-good", form="onnx-int4", **made, **int8)
    client = house.http(tenant=TENANT)

    async def is_known() -> bool:
        return (await client.get("/v1/models/mv-f-good")).status_code == 200

    await eventually(is_known)


async def test_forms_of_a_model_are_its_source_and_builds_of_the_same_rows_and_load(house: House):
    await furnish_forms(house)
    failed = {"model": "mv-f"}
    await end_build(house, JOB_STATUS_FAILED, {}, **failed)

    # A build stands for what it was made from.
    found = (await house.http(tenant=TENANT).get("/v1/models/mv-f-good/forms")).json()

    forms = {each["form"]: each for each in found["data"]}
    names = ["safetensors", "onnx-int4", "openvino-int4", "onnx-int8", "openvino-int8"]
    assert [*forms] == names
    assert (found["dataset_id"], found["load"]["in_flight"]) == ("ds-words", 1)
    source, good = forms["safetensors"], forms["onnx-int4"]
    assert source["losses"]["accuracy_loss"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert source["costs"]["p95_ms"]["value"] == 300.0
    assert source["is_chosen"]
    assert good["costs"]["size_mb"]["value"] == 74.0
    assert good["costs"]["p95_ms"] == {"value": 148.0, "low": 140.0, "high": 155.0}
    assert good["losses"]["disagreement"]["value"] == pytest.approx(0.05)
    assert good["frontier"]["size_mb"] == ["accuracy_loss", "disagreement"]
    assert forms["openvino-int4"]["refusal"]["code"] == "loses_too_much"
    assert forms["onnx-int8"]["losses"] == {}
    assert forms["openvino-int8"]["refusal"] == {"code": "not_built", "reason": "it is not smaller"}


async def test_who_may_not_see_jobs_is_told_of_no_failed_build_and_others_see_nothing(house: House):
    await furnish_forms(house)
    await end_build(house, JOB_STATUS_FAILED, {}, model="mv-f")

    reader = house.http(tenant=TENANT, scope="models:read")
    found = (await reader.get("/v1/models/mv-f/forms")).json()
    assert "openvino-int8" not in [each["form"] for each in found["data"]]
    stranger = await house.http(tenant="strangers").get("/v1/models/mv-f/forms")
    assert stranger.status_code == 404
    chatting = await house.http(tenant=TENANT, scope=CHAT).get("/v1/models/mv-f/forms")
    assert chatting.status_code == 403


async def test_a_key_of_one_model_is_shown_no_other_form(house: House):
    await furnish_forms(house)
    scopes = ["models:read", "jobs"]
    made = await issued(house.http(tenant=TENANT), scopes=scopes, models=["mv-f-good"])

    found = (await with_key(house, made["key"]).get("/v1/models/mv-f-good/forms")).json()

    assert [each["version_id"] for each in found["data"]] == ["mv-f-good"]
