"""What is trained, and how, in OpenAI's words and in ours."""

from typing import Any

import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import BASE, BUILD, House
from gateway_support.job_orders import order, say_state, upload
from google.protobuf.struct_pb2 import Struct
from modelmill.gateway.v1.gateway_service_pb2 import CreateFineTuningJobRequest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobResult
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_openais_preference_method_is_an_objective_with_its_beta(house: House):
    client = house.http(tenant="dpo")
    method = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 2}}}

    job = (await order(client, method=method)).json()

    spec = house.trainer.specs[-1]
    assert (spec.objective, spec.method) == (pb.TRAINING_OBJECTIVE_DPO, pb.TRAINING_METHOD_LORA)
    assert (spec.hyper_parameters.preference_beta, spec.hyper_parameters.epochs) == (0.2, 2)
    assert job["method"]["type"] == "dpo"
    assert job["method"]["dpo"]["hyperparameters"]["preference_beta"] == 0.2
    assert "supervised" not in job["method"]
    assert (job["objective"], job["training_method"]) == ("dpo", "lora")


@pytest.mark.parametrize("method", ["lora", "full", "prefix", "prompt", "qlora", "auto"])
async def test_every_method_reaches_the_trainer_by_its_name(house: House, method: str):
    job = (await order(house.http(tenant="methods"), training_method=method)).json()

    spec = house.trainer.specs[-1]
    assert pb.TrainingMethod.Name(spec.method) == f"TRAINING_METHOD_{method.upper()}"
    assert job["training_method"] == method


async def test_a_teacher_is_found_by_its_name_and_choices_go_with_it(house: House):
    chosen: dict[str, Any] = {
        "distillation_temperature": 3.0,
        "distillation_weight": 0.7,
        "target_modules": ["q_proj"],
        "target_parameters": ["mlp.experts.down_proj"],
        "last_turn_only": True,
    }
    changes = {"objective": "distillation", "teacher": "tiny", "hyperparameters": chosen}

    job = (await order(house.http(tenant="teacher"), **changes)).json()

    spec = house.trainer.specs[-1]
    assert spec.teacher_version_id == job["teacher"] == BASE
    assert spec.objective == pb.TRAINING_OBJECTIVE_DISTILLATION
    for name, value in chosen.items():
        given = getattr(spec.hyper_parameters, name)
        assert (list(given) if isinstance(value, list) else given) == value


async def test_a_teacher_that_answers_is_the_version_that_is_served(house: House):
    changes = {"teacher": "tiny", "teacher_answers": {"max_new_tokens": 40, "temperature": 0.5}}

    job = (await order(house.http(tenant="answering"), **changes)).json()

    spec = house.trainer.specs[-1]
    assert spec.teacher_version_id == job["teacher"] == BUILD
    assert spec.objective == pb.TRAINING_OBJECTIVE_ANSWERS
    assert spec.HasField("teacher_answers")
    assert (spec.teacher_answers.max_new_tokens, spec.teacher_answers.temperature) == (40, 0.5)
    assert job["teacher_answers"]["max_new_tokens"] == 40
    await order(house.http(tenant="answering"), teacher="tiny")
    assert not house.trainer.specs[-1].HasField("teacher_answers")


@pytest.mark.parametrize(
    ("objective", "layout", "column"),
    [
        ("answers", "", "messages"),
        ("text", "text", ""),
        ("dpo", "preference", ""),
        ("kto", "preference", ""),
    ],
)
async def test_a_file_is_read_as_what_is_learned_from_it(
    house: House, objective: str, layout: str, column: str
):
    await order(house.http(tenant="layouts"), objective=objective)

    mapping = house.data_prep.specs[-1].mapping
    assert (mapping.layout, mapping.messages_column) == (layout, column)


async def test_one_file_read_in_two_ways_becomes_two_datasets(house: House):
    client = house.http(tenant="two-ways")
    file = await upload(client)
    for objective in ("dpo", "kto", "text"):
        assert (await order(client, training_file=file, objective=objective)).status_code == 200

    preferred, wanted, text = (spec.dataset_id for spec in house.trainer.specs[-3:])
    assert preferred == wanted != text


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"method": {"type": "dpo"}, "objective": "kto"}, "method.type is 'dpo'"),
        ({"method": {"type": "supervised"}, "objective": "dpo"}, "method.type is 'supervised'"),
        ({"method": {"type": "dpo", "supervised": {}}}, "method.supervised"),
        (
            {
                "method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}},
                "hyperparameters": {"preference_beta": 0.3},
            },
            "preference_beta: given twice",
        ),
        ({"training_method": "magic"}, "training_method"),
        ({"hyperparameters": {"target_modules": []}}, "target_modules"),
        ({"objective": "distillation", "teacher": "nobody"}, "nobody"),
        ({"objective": "distillation"}, "teacher is missing"),
    ],
)
async def test_what_contradicts_itself_is_refused(
    house: House, changes: dict[str, object], why: str
):
    answer = await order(house.http(tenant="refused"), **changes)

    assert answer.status_code in (400, 404, 422)
    assert why in answer.json()["error"]["message"]


async def test_limits_and_a_division_reach_the_trainer_over_http_and_grpc(house: House):
    limits = {"max_seconds": 60.0, "patience": 3, "min_improvement": 0.5}
    division = {"ranks": 2, "preset": "guide-zero3", "offload_parameters": False}
    asked = {"limits": limits, "distribution": division | {"precision": "fp32"}}
    wanted = pb.Distribution(**division, precision=pb.TRAINING_PRECISION_FP32)

    await order(house.http(tenant="limits"), **asked)
    over_http = house.trainer.specs[-1]
    async with grpc_stub(house, tenant="limits") as stub:
        spec = {"limits": pb.TrainingLimits(**limits), "distribution": wanted}
        training_file = await upload(house.http(tenant="limits"))
        requested = pb.TrainSpec(base_version_id="tiny", dataset_id=training_file, **spec)
        request = CreateFineTuningJobRequest(spec=requested)
        await stub.CreateFineTuningJob(request, timeout=CALL_SECONDS)
    over_grpc = house.trainer.specs[-1]

    for seen in (over_http, over_grpc):
        assert (seen.limits, seen.distribution) == (pb.TrainingLimits(**limits), wanted)


async def test_a_run_is_of_one_process_and_has_no_limits_unless_they_are_asked_for(house: House):
    await order(house.http(tenant="plain"))

    spec = house.trainer.specs[-1]
    assert spec.limits == pb.TrainingLimits()
    assert not spec.HasField("distribution")


async def test_what_is_left_open_is_auto_until_the_trainer_has_chosen(house: House):
    client = house.http(tenant="open")
    job = (
        await order(client, hyperparameters={"batch_size": "auto", "learning_rate": None})
    ).json()
    choices = job["hyperparameters"]
    assert (choices["n_epochs"], choices["batch_size"], choices["learning_rate"]) == ("auto",) * 3

    summary = Struct()
    summary.update({"chosen": {"epochs": 3.0, "batch_size": 8, "learning_rate": 0.0013}})
    result = JobResult(digest="sha256:1", version_id="mv-1", summary=summary)
    await say_state(house, job["id"], "open", status=JOB_STATUS_SUCCEEDED, result=result)

    async def ended() -> dict[str, Any] | None:
        shown = (await client.get(f"/v1/fine_tuning/jobs/{job['id']}")).json()
        return shown if shown["status"] == "succeeded" else None

    shown = await eventually(ended)
    assert shown is not None
    chosen = shown["hyperparameters"]
    assert (chosen["n_epochs"], chosen["batch_size"], chosen["learning_rate"]) == (3, 8, 0.0013)
    assert shown["method"]["supervised"]["hyperparameters"] == chosen
    assert "epochs" not in chosen


async def test_a_run_that_did_not_learn_warns_in_its_events(house: House):
    client = house.http(tenant="unlearned")
    job = (await order(client)).json()
    summary = Struct()
    summary.update({"learned": False, "advice": "It did not learn: try more rows."})
    result = JobResult(digest="sha256:1", version_id="mv-1", summary=summary)
    await say_state(house, job["id"], "unlearned", status=JOB_STATUS_SUCCEEDED, result=result)

    async def warnings() -> list[dict[str, Any]]:
        events = (await client.get(f"/v1/fine_tuning/jobs/{job['id']}/events")).json()["data"]
        return [event for event in events if event["level"] == "warn"]

    [warning] = await eventually(warnings)
    assert warning["message"] == "It did not learn: try more rows."


async def test_a_multiplier_and_the_guides_preset_reach_the_trainer(house: House):
    given = {"learning_rate_multiplier": 1.8, "n_epochs": 2}
    job = (await order(house.http(tenant="multiplied"), hyperparameters=given)).json()
    assert house.trainer.specs[-1].hyper_parameters.learning_rate_multiplier == 1.8
    assert job["hyperparameters"]["learning_rate_multiplier"] == 1.8

    await order(house.http(tenant="multiplied"), hyperparameters={"preset": "guide"})
    assert house.trainer.specs[-1].hyper_parameters.preset == "guide"


async def test_a_rate_may_be_searched_for(house: House):
    client = house.http(tenant="searching")
    job = (await order(client, hyperparameters={"learning_rate": "search"})).json()

    chosen = house.trainer.specs[-1].hyper_parameters
    assert (chosen.search_learning_rate, chosen.learning_rate) == (True, 0)
    assert job["hyperparameters"]["learning_rate"] == "search"
    assert "search_learning_rate" not in job["hyperparameters"]
    for wrong in ("fast", 0):
        answer = await order(client, hyperparameters={"learning_rate": wrong})
        assert answer.status_code == 422
        assert "hyperparameters.learning_rate" in answer.json()["error"]["message"]
