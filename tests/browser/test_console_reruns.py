"""Trainings that are run again in the console: the job that the trainer recorded, once more."""

from collections.abc import Mapping
from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JobError
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_trainer.choices import (
    decide_spec,
    decided_spec,
    distribution_of,
    write_distribution,
)
from playwright.sync_api import Page, expect

from tests.browser.console_place import complaints, go_to, open_place
from tests.browser.live_gateway import LiveGateway
from tests.browser.watched_page import WatchedPage

LORA = {"lora_rank": 8, "target_modules": ["q_proj"], "target_parameters": ["mlp.experts"]}
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


def open_again(watched: WatchedPage, gateway: LiveGateway, spec: pb.TrainSpec) -> Page:
    """The form for a failed job of this spec."""
    job_id = gateway.submit_training(spec)
    error = JobError(code="x", message="lost", remedy="Try again.")
    gateway.say_state(job_id, JOB_STATUS_FAILED, error=error)
    page = open_place(watched, gateway, f"/jobs/{job_id}", gateway.token())
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("button", name="Order training")).to_be_visible()
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
