"""A student learns what its teacher answers, asked through inference once for each row."""

import json
from pathlib import Path
from typing import Any

import pytest
from modelmill.inference.v1 import inference_service_pb2 as inference
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_SUCCEEDED,
)
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_jobs.child import ChildFailure
from modelmill_service_kit.errors import InvalidInputError, PreconditionError
from modelmill_testkit.fake_inference import NEWER, VERSION
from modelmill_testkit.waiting import eventually
from trainer_support.evaluations import CLUES, Learned, Pausing, evaluating

pytestmark = pytest.mark.heavy

QUICK = pb.HyperParameters(
    learning_rate=0.01, batch_size=8, gradient_accumulation_steps=1, lora_rank=4, epochs=3
)
LONG = pb.HyperParameters(
    learning_rate=0.01, batch_size=8, gradient_accumulation_steps=1, lora_rank=4, epochs=20
)
LONG_STEPS = 100
"""Of 40 rows: so many that a busy machine cannot miss them all."""


class Hesitating(Learned):
    """As `Learned`, but for rows that it cannot read, does not end, or has no word for."""

    async def Generate(self, request: inference.GenerateRequest, context: Any) -> Any:
        text = request.conversation.messages[-1].content
        async for part in super().Generate(request, context):
            if "endless" in text:
                part.end.finish_reason = "length"
            if "speechless" in text:
                part.text_delta = " \n"
            if "unreadable" in text:
                raise InvalidInputError("the prompt is too long")
            yield part


def wrong(rows: list[dict[str, Any]], **changes: str) -> list[dict[str, Any]]:
    """Rows whose answers are not the teacher's; a word is put into those of the given numbers."""
    for row in rows:
        row["messages"][-1]["content"] = "food"
        if word := changes.get(f"row_{row['row']}"):
            row["messages"][1]["content"] += f" {word}"
    return rows


def spec_of(base: Any, **changes: Any) -> pb.TrainSpec:
    given: dict[str, Any] = {
        "base_version_id": base.version_id,
        "dataset_id": "ds-toy",
        "teacher_version_id": VERSION,
        "teacher_answers": pb.TeacherAnswers(),
        "hyper_parameters": QUICK,
    }
    return pb.TrainSpec(**given | changes)


def read_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def asked_texts(service: Learned) -> list[str]:
    """What the teacher was asked, its opening left out."""
    generating = [one for one in service.requests if isinstance(one, inference.GenerateRequest)]
    return [one.conversation.messages[-1].content for one in generating if one.options.seed]


async def test_rows_get_the_teachers_answers_and_dropped_rows_the_reason(
    site: Any, toy_rows: Any
) -> None:
    service = Hesitating()
    async with evaluating(site, service):
        base = await site.import_base()
        rows = wrong(toy_rows(48), row_1="endless", row_2="speechless", row_3="unreadable")
        valid, test = wrong(toy_rows(6, first=48)), wrong(toy_rows(6, first=54))
        dataset = await site.add_dataset(train=rows, valid=valid, test=test)
        job = await site.create(spec_of(base))
        state = await site.ended(job.job_id)

        assert state.status == JOB_STATUS_SUCCEEDED, state.error
        [ready] = await eventually(lambda: site.announced(job.job_id))
    made_from = site.store.manifest(ready.digest).made_from
    assert made_from["dataset"] == dataset.digest
    taught = site.store.manifest(made_from["rows"])
    assert taught.made_from["dataset"] == dataset.digest
    folder = site.store.materialise(taught.digest)

    learned = read_rows(folder, "train.jsonl")
    assert [row["row"] for row in learned] == list(range(4, 49))
    assert {row["made_by"] for row in learned} == {f"teacher_answer@1 {VERSION}"}
    for row, given in zip(learned, rows[3:], strict=True):
        assert row["messages"][:-1] == given["messages"][:-1]
        clue = row["messages"][1]["content"].rsplit(" ", 1)[1]
        assert row["messages"][-1] == {"role": "assistant", "content": CLUES[clue]}
    assert len(read_rows(folder, "valid.jsonl")) == 6
    assert read_rows(folder, "test.jsonl") == test
    left_out = {row["row"]: row["reason"] for row in read_rows(folder, "dropped.jsonl")}
    assert left_out == {1: "unfinished", 2: "empty", 3: "refused"}
    told = state.result.summary["teacher_answers"]
    assert told["teacher_version_id"] == VERSION
    assert dict(told["dropped"]) == {"unfinished": 1, "empty": 1, "refused": 1}
    assert state.result.summary["rows"] == 45
    assert state.result.summary["last_loss"] < state.result.summary["first_loss"] / 2


@pytest.mark.tier("drills")
async def test_a_resumed_job_does_not_repeat_answered_requests(site: Any, toy_rows: Any) -> None:
    """Interrupted while it asks, when it has asked all, and while it trains."""
    service = Pausing(first=20)
    async with evaluating(site, service, inference_at_once=2):
        base = await site.import_base()
        await site.add_dataset(train=wrong(toy_rows(40)))
        choices = pb.HyperParameters(checkpoint_steps=1)
        choices.MergeFrom(LONG)
        job = await site.create(spec_of(base, hyper_parameters=choices))
        await eventually(lambda: len(service.requests) > service.first + 1, within=100)
    state = await site.state(job.job_id)
    assert (state.status, state.preemptions) == (JOB_STATUS_QUEUED, 1)
    answered, before = state.checkpoint.step, len(asked_texts(service))
    assert answered >= 17

    service.goes_on.set()

    async def has_asked_all() -> bool:
        return bool((await site.state(job.job_id)).checkpoint.step == 40)

    async def has_trained() -> bool:
        step = (await site.state(job.job_id)).checkpoint.step
        return bool(0 < step < LONG_STEPS and step != 40)

    for reached in (has_asked_all, has_trained):
        async with evaluating(site, service):
            await eventually(reached, within=100)
        again = asked_texts(service)[before:]
        assert len(again) == 40 - answered

    async with evaluating(site, service):
        state = await site.ended(job.job_id)
    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    assert asked_texts(service)[before:] == again, "trained on, nothing is asked"
    assert set(asked_texts(service)) == {
        row["messages"][1]["content"] for row in wrong(toy_rows(40))
    }


async def test_a_teacher_that_answers_nothing_or_was_retired_fails_the_job(
    site: Any, toy_rows: Any
) -> None:
    async with evaluating(site, Hesitating()):
        base = await site.import_base()
        await site.add_dataset(train=wrong(toy_rows(2), row_1="endless", row_2="speechless"))
        job = await site.create(spec_of(base, hyper_parameters=pb.HyperParameters(batch_size=4)))
        state = await site.ended(job.job_id)

    assert (state.status, state.error.code) == (JOB_STATUS_FAILED, "TEACHER_SAYS_NOTHING")
    assert "the answer is incomplete: length" in state.error.message
    assert ChildFailure.__name__ not in state.error.message


async def test_invalid_teacher_options_are_refused_when_the_job_is_created(
    site: Any, toy_rows: Any
) -> None:
    async with evaluating(site, Learned()):
        base = await site.import_base()
        await site.add_dataset(train=toy_rows(8))
        asked = pb.TeacherAnswers(max_new_tokens=10**6, temperature=3)
        for changes, said in (
            ({"teacher_answers": asked}, "max_new_tokens must be at most"),
            ({"teacher_answers": asked}, "temperature must be between 0 and 2"),
            ({"teacher_version_id": ""}, "the served model whose answers are learned"),
            ({"objective": pb.TRAINING_OBJECTIVE_DPO}, "no meaning for objective dpo"),
            (
                {"objective": pb.TRAINING_OBJECTIVE_DISTILLATION},
                f"teacher {VERSION} is of form openvino-int8",
            ),
        ):
            with pytest.raises(InvalidInputError, match=said):
                await site.create(spec_of(base, **changes))
        written = await site.create(spec_of(base, teacher_version_id=NEWER))
        assert written.job_id
    async with site.serving(role="serve"):
        with pytest.raises(PreconditionError, match="TRAINER_INFERENCE_ADDRESS"):
            await site.create(spec_of(base))
