"""Metrics of a run in columns: whole, in order, and before it has ended."""

import json
from pathlib import Path

import pytest
from modelmill.jobs.v1.job_pb2 import Checkpoint, JobResult, JobState
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import NotFoundError
from modelmill_trainer.stream_step_metrics import STEPS_AT_ONCE, StreamStepMetrics

JOB = "ftjob-1"


class OneJob:
    """Reads the state of one job of the tenant acme."""

    def __init__(self, state: JobState) -> None:
        self._state = state

    async def is_known(self, *, tenant: str, kind: str, job_id: str) -> bool:
        return (tenant, kind, job_id) == ("acme", "train", JOB)

    async def state(self, job_id: str) -> JobState:
        return self._state


def logged(folder: Path, lines: list[dict[str, float]]) -> Path:
    """A folder with the metrics of a run."""
    folder.mkdir()
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    return folder


async def test_all_steps_come_in_columns_and_what_was_not_measured_has_no_point(tmp_path: Path):
    lines = [{"step": step, "loss": 1 / step} for step in range(1, STEPS_AT_ONCE + 6)]
    lines[1] |= {"valid_loss": 2.0, "grad_norm": float("inf")}
    store = FolderStore(tmp_path / "store")
    made = store.commit(logged(tmp_path / "model", lines), kind="model", form="adapter")
    stream = StreamStepMetrics(OneJob(JobState(result=JobResult(digest=made.digest))), store)

    blocks = [block async for block in stream(tenant="acme", job_id=JOB)]

    steps = [step for block in blocks for step in block["loss"].steps]
    assert steps == list(range(1, STEPS_AT_ONCE + 6))
    assert len(blocks) == 2
    assert (blocks[0]["valid_loss"].steps, blocks[0]["valid_loss"].values) == ([2], [2.0])
    assert "grad_norm" not in blocks[0]


async def test_a_run_that_has_not_ended_has_those_of_its_newest_checkpoint(tmp_path: Path):
    store = FolderStore(tmp_path / "store")
    folder = logged(tmp_path / "checkpoint", [{"step": 1, "loss": 2.0}])
    digest = JobCheckpoints(store, JOB, fence=7).commit(folder, 1, form="state", made_from={})
    state = JobState(checkpoint=Checkpoint(digest=digest, step=1))
    stream = StreamStepMetrics(OneJob(state), store)

    (block,) = [block async for block in stream(tenant="acme", job_id=JOB)]

    assert (block["loss"].steps, block["loss"].values) == ([1], [2.0])


@pytest.mark.parametrize("tenant", ["other", "acme"])
async def test_a_job_of_others_or_without_a_checkpoint_is_unknown(tmp_path: Path, tenant: str):
    state = JobState(result=JobResult(digest="sha256:1")) if tenant == "other" else JobState()
    stream = StreamStepMetrics(OneJob(state), FolderStore(tmp_path / "store"))

    with pytest.raises(NotFoundError):
        await anext(stream(tenant=tenant, job_id=JOB))
