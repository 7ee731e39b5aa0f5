"""Jobs from the request to the announced model, with the real bus, worker and work process."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobError,
    JobState,
)
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_bus.kinds import derived_id
from modelmill_bus.subjects import job_state
from modelmill_evaluation.parity.goldens import Goldens
from modelmill_jobs.submit import JobQueue
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_service_kit.errors import NotFoundError
from modelmill_service_kit.grpc_client import domain_errors
from modelmill_testkit.processes import children_that_run
from modelmill_testkit.waiting import eventually
from modelmill_token_files.tokenizer_digest import tokenizer_digest
from prometheus_client import REGISTRY
from safetensors import safe_open
from trainer_support.runs import pair_rows

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]


def child_of_this_process() -> psutil.Process | None:
    """The work process, when there is one."""
    return next(iter(children_that_run("modelmill_trainer.child")), None)


def read_tokens() -> float:
    """By the counter of this process, which other tests train in as well."""
    return REGISTRY.get_sample_value("modelmill_training_tokens_total") or 0.0


async def test_a_job_makes_a_model_that_has_learned(
    working_trainer: Any, toy_rows: Rows, quick: dict[str, Any]
) -> None:
    trainer = working_trainer
    tokens_before = read_tokens()
    base = await trainer.import_base()
    await trainer.add_dataset(
        train=toy_rows(96), valid=toy_rows(6, first=96), test=toy_rows(15, first=102)
    )
    job = await trainer.create(
        pb.TrainSpec(
            base_version_id=base.version_id,
            dataset_id="ds-toy",
            name="kinds",
            evaluate=True,
            hyper_parameters=pb.HyperParameters(**quick | {"epochs": 3}),
        )
    )

    state = await trainer.ended(job.job_id)

    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    summary = state.result.summary
    assert summary["rows"] == 96
    assert summary["steps"] == 36
    assert summary["last_loss"] < summary["first_loss"] / 4
    assert summary["accuracy_tuned"]["mean"] == 1.0
    assert summary["accuracy_base"]["mean"] < 0.7
    assert summary["differences"]["tuned-base"]["low"] > 0
    assert summary["train_tokens"] > 96 * 3 * 20
    assert read_tokens() - tokens_before == summary["train_tokens"]
    assert REGISTRY.get_sample_value("modelmill_training_loss") == summary["last_loss"]

    [ready] = await eventually(lambda: trainer.announced(job.job_id))
    check_announcement(ready, job.job_id, base.version_id)
    check_artifact(trainer, ready, base.digest)
    await check_figures(trainer, job.job_id, summary["last_loss"])


def check_announcement(ready: Any, job_id: str, base_version_id: str) -> None:
    assert ready.version_id == derived_id("mv", job_id, "adapter")
    assert (ready.form, ready.name, ready.tenant) == ("adapter", "kinds", "acme")
    assert ready.parent_version_id == ready.base_version_id == base_version_id
    assert (ready.dataset_id, ready.context_tokens) == ("ds-toy", 512)
    assert ready.method == "lora"
    assert ready.metrics["accuracy"] == 1.0


async def check_figures(trainer: Any, job_id: str, last_loss: float) -> None:
    """They can be asked for as long as the artifact is there, by the job's own tenant."""
    request = pb.ListStepFiguresRequest(tenant="acme", job_id=job_id)
    steps = (await trainer.stub.ListStepFigures(request, timeout=60)).steps
    assert [each.step for each in steps] == list(range(1, 37))
    assert steps[-1].metrics["loss"] == last_loss
    # Without limits and without a dataset to validate on it is measured before and after.
    assert not any("valid_loss" in each.metrics for each in steps)
    whole = pb.StreamStepMetricsRequest(tenant="acme", job_id=job_id)
    blocks = [block async for block in trainer.stub.StreamStepMetrics(whole, timeout=60)]
    columns = {column.name: column for block in blocks for column in block.columns}
    assert list(columns["loss"].steps) == list(range(1, 37))
    assert columns["loss"].values[-1] == last_loss
    behind = pb.ListStepFiguresRequest(tenant="acme", job_id=job_id, after_step=30)
    steps = (await trainer.stub.ListStepFigures(behind, timeout=60)).steps
    assert [each.step for each in steps] == list(range(31, 37))
    for other in ({"tenant": "other", "job_id": job_id}, {"tenant": "acme", "job_id": "ftjob-x"}):
        with pytest.raises(NotFoundError), domain_errors("trainer"):
            await trainer.stub.ListStepFigures(pb.ListStepFiguresRequest(**other), timeout=60)


def check_artifact(trainer: Any, ready: Any, base_digest: str) -> None:
    manifest = trainer.store.manifest(ready.digest)
    assert manifest.made_from["base"] == base_digest
    assert manifest.attributes["hyper_parameters"]["lora_rank"] == 8
    folder = trainer.store.materialise(ready.digest)
    assert {path.name for path in folder.iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors", "metrics.jsonl"),
        *("evaluation.json", "tokenizer.json", "tokenizer_config.json"),
        *("chat_template.jinja", "generation_config.json"),
        *("README.md", "curves.svg", "parity"),
    }
    check_parity(manifest, folder, ready)
    adapter = json.loads((folder / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == ready.base_version_id
    # In one order: that of PEFT's set is another in each process.
    assert adapter["target_modules"] == [
        *("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    ]
    with safe_open(folder / "adapter_model.safetensors", "np") as tensors:
        assert len(list(tensors.keys())) == 2 * 7 * 2
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == list(range(1, 37))
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["rows"] == 15
    assert evaluation["tuned"]["correct"] == [True] * 15
    assert set(evaluation["differences"]) == {"tuned-base"}


def check_parity(manifest: Any, folder: Path, ready: Any) -> None:
    """Read back from disk by transformers it is the model that was trained, prompt for prompt."""
    parity = manifest.attributes["parity"]
    trained, reloaded = parity["forms"]
    goldens = Goldens.read(folder)
    assert goldens is not None
    names = [golden.name for golden in goldens.prompts]
    assert [name.startswith("test row ") for name in names[:4]] == [True, True, True, False]
    assert parity["goldens"] == len(names) == 8
    assert parity["positions"] == goldens.positions >= 8
    assert parity["prompt_ids"] == "identical"
    assert parity["tokenizer"] == goldens.tokenizer == tokenizer_digest(folder)
    assert trained["form"].startswith("training, ")
    assert reloaded["form"] == "the artifact in transformers, float32"
    assert reloaded["largest_share"] < 0.0001
    assert reloaded["greedy_agreement"] == 1.0
    assert ready.metrics["parity_greedy_agreement"] == 1.0
    assert f"`{manifest.made_from['base']}`" in (folder / "README.md").read_text()


def sixty_full_steps(base_version_id: str) -> pb.TrainSpec:
    """Of 40 rows, with a checkpoint after every fourth step."""
    return pb.TrainSpec(
        base_version_id=base_version_id,
        dataset_id="ds-toy",
        method=pb.TRAINING_METHOD_FULL,
        hyper_parameters=pb.HyperParameters(
            learning_rate=0.001,
            batch_size=8,
            gradient_accumulation_steps=1,
            epochs=12,
            checkpoint_steps=4,
        ),
    )


def flip_a_bit(site: Any, state: JobState, name: str) -> None:
    """In the stored content of a file of a job's newest checkpoint."""
    checkpoints = JobCheckpoints(site.store, state.job_id, state.fence)
    manifest = checkpoints.manifest(state.checkpoint.digest)
    [entry] = [one for one in manifest.files if one.path == name]
    part = site.root / "artifacts" / "parts" / state.job_id / str(state.fence)
    [blob] = (part / "blobs").rglob(entry.sha256)
    blob.chmod(0o600)
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)


@pytest.mark.tier("drills")
async def test_a_killed_and_released_job_succeeds_once_without_missing_steps(
    site: Any, toy_rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    """Given back, it finds its newest checkpoint damaged: the one before it is where it goes on."""
    caplog.set_level("INFO", logger="modelmill_trainer.train_model")
    base = await site.import_base()
    await site.add_dataset(train=toy_rows(40))
    async with site.serving():
        job = await site.create(sixty_full_steps(base.version_id))

        async def saved(step: int) -> bool:
            return bool((await site.state(job.job_id)).checkpoint.step >= step)

        await eventually(lambda: saved(4))
        child = child_of_this_process()
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        await eventually(lambda: saved(24))
    queued = await site.state(job.job_id)
    assert queued.status == JOB_STATUS_QUEUED
    assert (queued.failures, queued.preemptions) == (1, 1)
    newest, before = queued.checkpoint, queued.checkpoint_before
    flip_a_bit(site, queued, "weights.safetensors")

    async with site.serving():
        state = await site.ended(job.job_id)

    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    assert state.attempt == 3
    assert f"checkpoint {newest.step} of job {job.job_id} is lost" in caplog.text
    assert f"job {job.job_id} resumes from checkpoint {before.step}\n" in caplog.text
    [ready] = await site.announced(job.job_id)
    assert (ready.form, ready.base_version_id) == ("safetensors", base.version_id)
    before, after = site.store.materialise(base.digest), site.store.materialise(ready.digest)
    metrics = (after / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in metrics] == list(range(1, 61))
    # In the base's own format, though trained in float32.
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (before, after)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


async def test_a_failed_dataset_job_fails_the_jobs_that_wait_for_it(
    working_trainer: Any,
) -> None:
    trainer = working_trainer
    base = await trainer.import_base()
    making = await JobQueue(trainer.bus).submit(
        kind="dataset",
        prefix="job",
        tenant="acme",
        requested_by="tester",
        idempotency_key="",
        spec=DatasetSpec(),
    )
    job = await trainer.create(
        pb.TrainSpec(base_version_id=base.version_id, dataset_job_id=making.job_id)
    )
    running = JobState(job_id=making.job_id, tenant="acme", status=JOB_STATUS_RUNNING)
    sequence = await trainer.bus.publish(job_state(making.job_id), running, expect_last=0)
    await asyncio.wait([asyncio.create_task(trainer.ended(job.job_id))], timeout=1.5)
    assert (await trainer.state(job.job_id)).attempt == 0

    error = JobError(code="NO_VALID_ROWS", message="no row is valid", remedy="Mend the file.")
    failed = JobState(job_id=making.job_id, tenant="acme", status=JOB_STATUS_FAILED, error=error)
    await trainer.bus.publish(job_state(making.job_id), failed, expect_last=sequence)

    state = await trainer.ended(job.job_id)
    assert (state.status, state.error.code) == (JOB_STATUS_FAILED, "DATASET_FAILED")
    assert "no row is valid" in state.error.message
    assert state.error.remedy == "Mend the file."


async def test_a_prefix_learns_preferences_and_reduces_the_context(
    working_trainer: Any, quick: dict[str, Any]
) -> None:
    trainer = working_trainer
    base = await trainer.import_base()
    await trainer.add_dataset(train=pair_rows(24), valid=pair_rows(4))
    del quick["lora_rank"]
    job = await trainer.create(
        pb.TrainSpec(
            base_version_id=base.version_id,
            dataset_id="ds-toy",
            method=pb.TRAINING_METHOD_PREFIX,
            objective=pb.TRAINING_OBJECTIVE_DPO,
            hyper_parameters=pb.HyperParameters(**quick | {"epochs": 6, "virtual_tokens": 6}),
        )
    )

    state = await trainer.ended(job.job_id)

    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    assert state.result.summary["last_loss"] < state.result.summary["first_loss"]
    assert state.result.summary["valid_loss"] < 0.69
    [ready] = await eventually(lambda: trainer.announced(job.job_id))
    assert (ready.form, ready.context_tokens) == ("adapter", 512 - 6)
    folder = trainer.store.materialise(ready.digest)
    written = json.loads((folder / "adapter_config.json").read_text())
    assert (written["peft_type"], written["num_virtual_tokens"]) == ("PREFIX_TUNING", 6)
    figures = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert figures[-1]["reward_margin"] > figures[0]["reward_margin"] + 0.1
