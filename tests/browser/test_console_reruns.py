"""Jobs that are run again in the console: as their owners recorded them, once more."""

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JobError
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_optimizer_builder.check_build_spec import with_defaults
from modelmill_trainer.choices import (
    decide_spec,
    decided_spec,
    distribution_of,
    write_distribution,
)
from modelmill_trainer.evaluation_spec import decided_spec as decided_evaluation
from modelmill_trainer.evaluation_spec import plan_of
from playwright.sync_api import Page, expect

from tests.browser.console_place import complaints, go_to, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

LORA = {"lora_rank": 8, "target_modules": ["q_proj"], "target_parameters": ["mlp.experts"]}
TASK = """
task: own
output_type: generate_until
dataset_kwargs: {data_files: {test: a.jsonl}}
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
""".strip()
ORDERED: dict[str, dict[str, Any]] = {
    "nothing but what is needed": {},
    "lora": {"hyper_parameters": {**LORA, "learning_rate": 0.0003, "max_steps": 40}},
    "a search": {"hyper_parameters": {"search_learning_rate": True, "seed": 7}},
    "a preset": {"hyper_parameters": {"preset": "guide", "last_turn_only": True}},
    "preferences": {"method": "QLORA", "objective": "DPO", "evaluate": False},
    "a prefix": {"method": "PREFIX", "objective": "KTO"},
    "all weights": {"method": "FULL", "objective": "TEXT", "name": 'it\'s "all" weights'},
    "a teacher": {
        "method": "PROMPT",
        "objective": "DISTILLATION",
        "teacher_version_id": "mv-base",
        "teacher_answers": pb.TeacherAnswers(temperature=0.5),
    },
    "limits": {"limits": pb.TrainingLimits(max_seconds=60, patience=3, min_improvement=0.001)},
    "ranks": {
        "method": "FULL",
        "distribution": pb.Distribution(ranks=2, preset="guide-zero3", offload_parameters=False),
    },
    "an adapter": {"adapter_version_id": "mv-adapter"},
    "words of the caller's": {"metadata": {"ticket": "42"}},
}

EVALUATED: dict[str, dict[str, Any]] = {
    "a dataset": {"dataset_id": "ds-x", "compare_to": "mv-base", "split": "valid", "seed": 7},
    "lists of objects": {
        "dataset_id": "ds-x",
        "measures": ["accuracy", "perplexity"],
        "slices": [{"by": "length", "edges": [100, 500]}, {"by": "script"}],
        "protections": [
            {"measure": "accuracy", "worst": 0.6},
            {"measure": "accuracy", "slice_by": "script", "slice_value": "zh", "worst": 0.5},
        ],
        "with_prompts": True,
    },
    "tasks": {
        "tasks": [{"config": TASK, "data_file_ids": ["file-1", "file-2"]}],
        "suite": {"name": "own", "license": "MIT"},
    },
}
BUILT: dict[str, dict[str, Any]] = {
    "a form": {"target_form": "openvino-int8", "dataset_id": "ds-x", "max_rows": 40},
    "a search": {"objective": {"p95_ms": 200}, "load": {"in_flight": 4}, "budget_seconds": 600},
    "a loss": {"target_form": "openvino-int8", "dataset_id": "ds-x", "max_accuracy_loss": 0.05},
}


def recorded(dataset: str, fields: Mapping[str, Any]) -> pb.TrainSpec:
    """The spec of a job that was ordered with these fields, as the trainer completes it."""
    named: dict[str, Any] = {"method": "LORA", "objective": "ANSWERS", "name": "kinds"}
    named |= {"evaluate": True, "limits": pb.TrainingLimits(), **fields}
    named["method"] = pb.TrainingMethod.Value(f"TRAINING_METHOD_{named['method']}")
    named["objective"] = pb.TrainingObjective.Value(f"TRAINING_OBJECTIVE_{named['objective']}")
    spec = pb.TrainSpec(base_version_id="mv-base", dataset_id=dataset, **named)
    choices = decide_spec(spec)
    decided = decided_spec(spec, choices)
    write_distribution(decided, distribution_of(spec, batch_size=choices.batch_size))
    return decided


def open_again(
    watched: WatchedPage, gateway: LiveGateway, spec: Message, kind: str = "train"
) -> Page:
    """The form for a failed job of this spec."""
    job_id = gateway.submit(kind, spec)
    error = JobError(code="x", message="lost", remedy="Try again.")
    gateway.say_state(job_id, JOB_STATUS_FAILED, kind=kind, error=error)
    page = open_place(watched, gateway, f"/jobs/{job_id}", gateway.token())
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("button", name="Order ")).to_be_visible()
    return page


@pytest.mark.parametrize("fields", ORDERED.values(), ids=ORDERED)
def test_a_job_is_ordered_again_as_the_trainer_recorded_it(
    watched: WatchedPage, gateway: LiveGateway, fields: dict[str, Any]
):
    spec = recorded(gateway.make_dataset({"train": 9}), fields)
    page = open_again(watched, gateway, spec)
    expect(page.locator("[aria-invalid]")).to_have_count(0)

    page.get_by_role("button", name="Order training").click()

    expect(page.get_by_role("heading", name="ftjob-")).to_be_visible()
    assert gateway.house.trainer.specs[-1] == spec
    assert complaints(watched) == []


@pytest.mark.parametrize("fields", EVALUATED.values(), ids=EVALUATED)
def test_an_evaluation_is_ordered_again_as_the_trainer_recorded_it(
    watched: WatchedPage, gateway: LiveGateway, fields: dict[str, Any]
):
    asked = ParseDict({"model": "default", **fields}, EvaluationSpec())
    spec = decided_evaluation(asked, plan_of(asked)[0])
    page = open_again(watched, gateway, spec, "evaluate")
    expect(page.get_by_role("heading", name="Run evaluation again")).to_be_visible()

    page.get_by_role("button", name="Order evaluation").click()

    expect(page.get_by_role("heading", name="job-")).to_be_visible()
    # The trainer fills it in.
    again = gateway.house.trainer.evaluations[-1]
    assert decided_evaluation(again, plan_of(again)[0]) == spec
    assert complaints(watched) == []


@pytest.mark.parametrize("fields", BUILT.values(), ids=BUILT)
def test_a_build_or_search_is_ordered_again_as_it_was_recorded(
    watched: WatchedPage, gateway: LiveGateway, fields: dict[str, Any]
):
    spec = with_defaults(ParseDict({"source_version_id": "mv-base", **fields}, BuildSpec()))
    page = open_again(watched, gateway, spec, "optimize")
    expect(page.get_by_role("heading", name="Build again")).to_be_visible()

    page.get_by_role("button", name="Order build").click()

    expect(page.get_by_role("heading", name="job-")).to_be_visible()
    assert with_defaults(gateway.house.optimizer_builder.specs[-1]) == spec
    assert complaints(watched) == []


def test_a_dataset_that_is_on_no_list_is_kept(watched: WatchedPage, gateway: LiveGateway):
    page = open_again(watched, gateway, recorded("ds-gone", {}))

    dataset = page.get_by_role("combobox", name="Dataset", exact=True)
    expect(dataset).to_have_value("ds-gone")
    page.get_by_role("button", name="Order training").click()

    expect(page.get_by_role("alert")).to_contain_text("ds-gone")


def test_a_job_that_is_not_there_cannot_be_run_again(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/jobs/new?from=ftjob-none", gateway.token())

    expect(page.get_by_role("alert")).to_contain_text("ftjob-none")
    go_to(page, "/jobs/new")

    expect(page.get_by_role("heading", name="New training")).to_be_visible()
    expect(page.get_by_role("button", name="Order training")).to_be_visible()
