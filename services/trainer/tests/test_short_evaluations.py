"""An evaluation of a few rows does not wait behind a training run."""

from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_CANCEL, JOB_STATUS_RUNNING, JobRequested
from modelmill.jobs.v1.job_service_pb2 import ControlJobRequest
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_bus.subjects import job_requested
from modelmill_testkit.fake_inference import NEWER
from modelmill_testkit.waiting import eventually
from modelmill_trainer.settings import Settings
from trainer_support.evaluations import Learned, create, evaluating

ROWS = 20


async def test_a_short_evaluation_ends_while_training_continues(site: Any, toy_rows: Any) -> None:
    async with evaluating(site, Learned(), role="both"):
        base = await site.import_base()
        await site.add_dataset(train=toy_rows(64), test=toy_rows(ROWS))
        endless = pb.HyperParameters(epochs=100)
        spec = pb.TrainSpec(
            base_version_id=base.version_id, dataset_id="ds-toy", hyper_parameters=endless
        )
        training = await site.create(spec)

        async def in_work() -> bool:
            return (await site.state(training.job_id)).status == JOB_STATUS_RUNNING

        await eventually(in_work)
        evaluation = await create(site)
        await site.ended(evaluation.job_id)
        assert await in_work()
        request = ControlJobRequest(
            tenant="acme",
            job_id=training.job_id,
            desired_state=JOB_DESIRED_STATE_CANCEL,
            requested_by="ann",
        )
        await site.jobs.ControlJob(request, timeout=60)


@pytest.mark.parametrize(
    ("rows", "changes", "is_short"),
    [
        (ROWS, {}, True),
        (ROWS, {"compare_to": NEWER}, True),
        (1_000, {}, False),
        (1_000, {"max_rows": ROWS}, True),
        (ROWS, {"max_new_tokens": 8_000}, False),
    ],
)
async def test_an_evaluations_expected_time_follows_its_answers(
    site: Any, toy_rows: Any, rows: int, changes: dict[str, Any], is_short: bool
) -> None:
    async with evaluating(site, Learned(), role="serve"):
        await site.add_dataset(test=toy_rows(rows))
        created = await create(site, **changes)
        subject = job_requested("evaluate", "acme", created.job_id)
        stored = await site.bus.last(subject, JobRequested)

    limit = Settings.model_fields["short_job_seconds"].default
    assert (stored.body.expected_seconds <= limit) == is_short
    assert stored.body.expected_seconds > 0
