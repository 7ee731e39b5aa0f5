"""What a training would read and need is said before it is ordered, and nothing is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JobRequested
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_bus.kinds import job_id
from modelmill_bus.subjects import DATASET_READY, job_requested
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.grpc_client import domain_errors
from modelmill_testkit.waiting import eventually
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.hyper_parameters import TEACHER_TEXT_TOKENS

# Rows are read by a tokenizer in a process with limits.
pytestmark = pytest.mark.tier("test")

Rows = Callable[..., list[dict[str, Any]]]


async def sized(
    trainer: Any, spec: pb.TrainSpec, *, tenant: str = "acme"
) -> pb.SizeFineTuningJobResponse:
    request = pb.SizeFineTuningJobRequest(tenant=tenant, spec=spec)
    with domain_errors():
        found: pb.SizeFineTuningJobResponse = await trainer.stub.SizeFineTuningJob(
            request, timeout=30
        )
    return found


async def ordered(trainer: Any, spec: pb.TrainSpec) -> JobRequested:
    job = await trainer.create(spec)
    stored = await trainer.bus.last(job_requested("train", "acme", job.job_id), JobRequested)
    return stored.body  # type: ignore[no-any-return]


def tokens_of(folder: Path, rows: list[dict[str, Any]]) -> int:
    """As the trainer's child counts them."""
    tokenizer = ChatTokenizer.load(folder)
    return sum(len(tokenizer.encode_example(row["messages"]).ids) for row in rows)


async def test_a_training_is_sized_as_the_run_will_decide(trainer: Any, toy_rows: Rows) -> None:
    base = await trainer.import_base()
    rows = toy_rows(40)
    await trainer.add_dataset(train=rows, test=toy_rows(6, first=40))
    spec = pb.TrainSpec(
        base_version_id=base.version_id,
        dataset_id="ds-toy",
        evaluate=True,
        hyper_parameters=pb.HyperParameters(search_learning_rate=True),
    )

    found = await sized(trainer, spec)

    assert (found.train_rows, found.test_rows) == (40, 6)
    assert found.row_tokens == pytest.approx(tokens_of(trainer.root / "base-tiny", rows) / 40)
    # 4 rows make 10 steps of an epoch, and 5 epochs 50 of the 100 that are wanted.
    assert (found.batch_size, found.epochs, found.row_visits) == (4, 5.0, 200)
    # Three trials of a quarter of the steps.
    assert found.trial_row_visits == 3 * 13 * 4
    assert found.base_bytes == base.size_bytes
    request = await ordered(trainer, spec)
    assert found.needs == request.needs
    assert found.spec.method == pb.TRAINING_METHOD_LORA
    assert found.spec.hyper_parameters.lora_alpha == request.spec["hyper_parameters"]["lora_alpha"]
    assert found.worker.memory_bytes > 0
    assert list(found.notes) == list(found.note_codes) == []


async def test_texts_of_a_teacher_are_sized_beside_the_rows(trainer: Any, toy_rows: Rows) -> None:
    base = await trainer.import_base()
    rows = toy_rows(40)
    await trainer.add_dataset(train=rows)
    spec = pb.TrainSpec(
        base_version_id=base.version_id,
        dataset_id="ds-toy",
        objective=pb.TRAINING_OBJECTIVE_DISTILLATION,
        teacher_version_id=base.version_id,
        hyper_parameters=pb.HyperParameters(epochs=2, teacher_texts=10),
    )

    found = await sized(trainer, spec)

    tokens = tokens_of(trainer.root / "base-tiny", rows) + 10 * TEACHER_TEXT_TOKENS
    assert found.row_visits == 2 * 50
    assert found.row_tokens == pytest.approx(tokens / 50)
    assert found.teacher_bytes == found.base_bytes > 0


async def test_tokens_are_those_of_the_token_files_where_these_are_of_the_base(
    trainer: Any,
    toy_rows: Rows,
    write_splits: Callable[..., Path],
    write_tokens: Callable[..., Any],
) -> None:
    base = await trainer.import_base()
    folder = trainer.root / "base-tiny"
    # Its JSON lines are others, so that one sees which are counted.
    rows = lengthened(toy_rows(3))
    own = write_splits(trainer.root / "own", {"train": toy_rows(9)})
    write_tokens(own, folder, {"train": rows})
    foreign = write_splits(trainer.root / "foreign", {"train": toy_rows(9)})
    write_tokens(foreign, folder, {"train": rows}, tokenizer="sha256:other")
    found = []
    for name, made in (("ds-own", own), ("ds-foreign", foreign)):
        await announce(trainer, name, made, train=3)
        spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id=name)
        found.append((await sized(trainer, spec)).row_tokens)

    assert found[0] == pytest.approx(tokens_of(folder, rows) / 3)
    assert found[1] == pytest.approx(tokens_of(folder, toy_rows(9)) / 9)


async def announce(trainer: Any, dataset_id: str, folder: Path, **counts: int) -> None:
    manifest = trainer.store.commit(folder, kind="dataset", form="chat-jsonl")
    ready = DatasetReady(
        dataset_id=dataset_id, tenant="acme", digest=manifest.digest, counts=counts
    )
    await trainer.bus.publish(DATASET_READY, ready, msg_id=dataset_id)


async def test_of_a_long_file_places_all_over_it_are_counted(
    trainer: Any, toy_rows: Rows, write_splits: Callable[..., Path]
) -> None:
    base = await trainer.import_base()
    padding = "x" * 400
    # Longer than what is read as a whole.
    short = [row | {"note": padding} for row in toy_rows(20_000)]
    long = [row | {"note": padding} for row in lengthened(toy_rows(20_000, first=20_000))]
    folder = write_splits(trainer.root / "many", {"train": [*short, *long]})
    await announce(trainer, "ds-many", folder, train=40_000)
    spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-many")

    found = await sized(trainer, spec)

    whole = tokens_of(trainer.root / "base-tiny", [*short[::100], *long[::100]]) / 400
    assert found.row_tokens == pytest.approx(whole, rel=0.1)


def lengthened(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    text = json.dumps(rows).replace("Name the kind of thing.", "Name the kind of thing. " * 3)
    return list(json.loads(text))


async def test_a_dataset_that_is_not_made_yet_has_no_rows_and_its_job_need_not_be_there(
    trainer: Any, toy_rows: Rows, dataset_of_job: Callable[[str], str]
) -> None:
    base = await trainer.import_base()
    making = job_id("job", tenant="acme", kind="dataset", idempotency_key="k")
    spec = pb.TrainSpec(base_version_id=base.version_id, dataset_job_id=making)

    found = await sized(trainer, spec)

    assert not found.HasField("train_rows")
    assert not found.HasField("row_tokens")
    assert list(found.notes) == ["rows, tokens and time are not known before the dataset is ready"]
    assert list(found.note_codes) == ["no_dataset"]
    assert found.needs.memory_bytes > base.size_bytes
    with pytest.raises(NotFoundError, match="no dataset job"):
        await trainer.create(spec)

    await trainer.add_dataset(dataset_id=dataset_of_job(making), train=toy_rows(8))

    async def is_known() -> bool:
        return (await sized(trainer, spec)).train_rows == 8

    await eventually(is_known)


async def test_rows_that_the_base_cannot_read_leave_tokens_unknown(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset(train=[{"messages": [{"role": "user", "content": "?"}], "row": 1}])
    spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy")

    found = await sized(trainer, spec)

    assert (found.train_rows, found.HasField("row_tokens")) == (1, False)
    assert found.notes[0].startswith("tokens and time are not known: the base can read none")
    assert list(found.note_codes) == ["no_tokens"]


async def test_notes_tell_of_limits(trainer: Any, toy_rows: Rows) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset(train=toy_rows(8))
    limits = pb.TrainingLimits(max_seconds=60)
    spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy", limits=limits)

    assert list((await sized(trainer, spec)).notes) == [
        "limits may end the run before its epochs do"
    ]


async def test_it_is_refused_as_the_order_is(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    known = {"base_version_id": base.version_id, "dataset_id": "ds-toy"}
    wrong = pb.HyperParameters(lora_rank=999, epochs=101)
    for spec in (pb.TrainSpec(name="n" * 65), pb.TrainSpec(**known, hyper_parameters=wrong)):
        refusals = []
        for asked in (sized(trainer, spec), trainer.create(spec)):
            with pytest.raises(InvalidInputError) as refused:
                await asked
            refusals.append(refused.value.errors)
        assert refusals[0] == refusals[1]


async def test_models_and_datasets_of_other_tenants_are_not_found(trainer: Any) -> None:
    base = await trainer.import_base(tenant="acme")
    await trainer.add_dataset()
    spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy")

    with pytest.raises(NotFoundError, match=r"no model .*; no dataset 'ds-toy'"):
        await sized(trainer, spec, tenant="globex")
