"""A run is in the folder that TensorBoard watches, in the form that it reads."""

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_jobs.progress import Report
from modelmill_testkit.ports import free_port
from modelmill_trainer import train_model
from modelmill_trainer.tracking.tensorboard import TensorBoard, _masked, record
from modelmill_trainer.tracking.tracker import (
    RunEnd,
    TrackedRunInfo,
    TrackerPatience,
    TrackingError,
    tracked_run,
)

FACTS = TrackedRunInfo("ftjob-1", "acme", "kinds", 1, {}, {})
BRIEF = TrackerPatience(close_seconds=0.1)


def step(number: int, **figures: float) -> Report:
    return Report("train", number, metrics={"loss": 1 / number} | figures)


def event_class() -> Any:
    """`tensorflow.Event`, as far as it is written, from a description of its own."""
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="t", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    fields: dict[str, list[tuple[str, int, Any, str]]] = {
        "Value": [("tag", 1, kinds.TYPE_STRING, ""), ("simple_value", 2, kinds.TYPE_FLOAT, "")],
        "Summary": [("value", 1, kinds.TYPE_MESSAGE, ".t.Value")],
        "Event": [
            ("wall_time", 1, kinds.TYPE_DOUBLE, ""),
            ("step", 2, kinds.TYPE_INT64, ""),
            ("file_version", 3, kinds.TYPE_STRING, ""),
            ("summary", 5, kinds.TYPE_MESSAGE, ".t.Summary"),
        ],
    }
    for name, members in fields.items():
        message = file.message_type.add(name=name)
        for member, number, kind, of in members:
            many = kinds.LABEL_REPEATED if member == "value" else kinds.LABEL_OPTIONAL
            message.field.add(
                name=member, number=number, type=kind, label=many, type_name=of or None
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Event"))  # type: ignore[no-untyped-call]


def events_in(path: Path) -> list[Any]:
    """The events of a file, whose checksums are looked at."""
    kind, content, events = event_class(), path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        body = content[12 : 12 + length]
        assert content[: length + 16] == record(body)
        events.append(kind.FromString(body))
        content = content[length + 16 :]
    return events


def test_checksums_are_masked_crc32c() -> None:
    def unmasked(masked: int) -> int:
        rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
        return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF

    assert unmasked(_masked(b"123456789")) == 0xE3069283
    assert unmasked(_masked(bytes(32))) == 0x8A9136AA


async def test_a_run_is_written_to_the_log_directory(tmp_path: Path) -> None:
    async with tracked_run([TensorBoard(tmp_path)], FACTS) as run:
        for number in range(1, 301):
            run.add(step(number, learning_rate=float("nan")))
        await run.finish(RunEnd("finished", {"accuracy": 0.5}))

    assert run.warnings == []
    [file] = (tmp_path / "ftjob-1").iterdir()
    first, *steps, last = events_in(file)
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in steps] == list(range(1, 301))
    assert [value.tag for value in steps[0].summary.value] == ["train/loss", "train/learning_rate"]
    assert steps[3].summary.value[0].simple_value == 0.25
    assert [(v.tag, v.simple_value) for v in last.summary.value] == [("run/accuracy", 0.5)]


async def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async with tracked_run([TensorBoard(tmp_path / "file")], FACTS, BRIEF) as run:
        run.add(step(1))
        await run.finish(RunEnd("finished"))

    assert "tensorboard is incomplete" in run.warnings[0]
    with pytest.raises(TrackingError):
        await TensorBoard(tmp_path / "file").open(FACTS)


@pytest.mark.heavy
async def test_a_job_with_an_unreachable_tracker_succeeds_with_a_warning(
    site: Any,
    toy_rows: Callable[..., list[dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So long is waited for the one that is dead; the other has that time to write.
    patience = TrackerPatience(close_seconds=8.0)
    monkeypatch.setattr(train_model, "tracked_run", partial(tracked_run, patience=patience))
    base = await site.import_base()
    await site.add_dataset(train=toy_rows(16))
    dead = f"http://127.0.0.1:{free_port()}"
    folder = tmp_path / "events"
    async with site.serving(mlflow_url=dead, tensorboard_folder=folder):
        spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy")
        spec.hyper_parameters.batch_size = 8
        spec.hyper_parameters.gradient_accumulation_steps = 1
        job = await site.create(spec)
        state = await site.ended(job.job_id)

    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    [warning] = state.result.summary["warnings"]
    assert "mlflow is incomplete" in warning
    [file] = (folder / job.job_id).iterdir()
    assert [event.step for event in events_in(file)[1:3]] == [1, 2]
