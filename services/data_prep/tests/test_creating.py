"""A desired state for a dataset becomes one job, or an answer that says everything that is
wrong."""

from typing import Any

import pytest
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.jobs.v1.job_pb2 import JOB_PRIORITY_HIGH, JobRequested
from modelmill_bus.subjects import job_requested
from modelmill_data_prep.create_dataset import spec_fields
from modelmill_data_prep.domain.dataset_plan import plan_dataset
from modelmill_data_prep.domain.resource_estimate import dataset_needs
from modelmill_service_kit.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from modelmill_service_kit.machine_size import this_machine

ROWS = [{"q": f"question {n}", "a": "yes", "extra": n} for n in range(3)]


async def test_a_column_that_no_row_has_is_named_with_those_of_the_file(data_prep: Any) -> None:
    jsonl = await data_prep.upload([{"other": 1}, *ROWS])
    csv = await data_prep.upload("\ufeffq,größe\r\n1,2\r\n".encode(), filename="rows.csv")

    for file_id, columns in (
        (jsonl.file_id, "'other', 'q', 'a', 'extra'"),
        (csv.file_id, "'q', 'größe'"),
    ):
        mapping = {"user_template": "{q} {word.__class__}", "answer_template": "{label}"}
        with pytest.raises(InvalidInputError) as caught:
            await data_prep.create(file_id, mapping=mapping)
        assert caught.value.errors == [
            f"unknown column 'word.__class__'. The file has {columns}",
            f"unknown column 'label'. The file has {columns}",
        ]


async def test_every_error_of_a_spec_is_answered_at_once(data_prep: Any) -> None:
    file = await data_prep.upload(ROWS)

    with pytest.raises(InvalidInputError) as caught:
        await data_prep.create(
            file.file_id,
            name="x" * 200,
            mapping={"user_template": "{q", "messages_column": "m"},
            shares={"train": 0.5, "test": 0.6},
        )

    assert len(caught.value.errors) == 4


async def test_what_asks_a_model_is_refused_where_no_service_is_known(data_prep: Any) -> None:
    file = await data_prep.upload(ROWS)
    asking: dict[str, Any] = {
        "augment": {"steps": [{"method": "paraphrase", "share": 0.1, "model": "m"}]},
        "curriculum": {"order": "staged", "weights": {"loss": 1.0}, "loss_model": "n"},
    }
    why = "data-prep has no inference service. Set DATA_PREP_INFERENCE_ADDRESS"

    with pytest.raises(InvalidInputError) as caught:
        await data_prep.create(file.file_id, name="x" * 200, **asking)

    assert caught.value.errors == [
        "name must be at most 100 printable characters",
        f"augment: paraphrase asks m: {why}",
        f"curriculum: weight loss asks n: {why}",
    ]


async def test_an_order_says_its_priority_and_the_service_what_it_needs(data_prep: Any) -> None:
    file = await data_prep.upload(ROWS)
    spec = DatasetSpec(
        file_id=file.file_id, mapping={"user_template": "{q}", "answer_template": "{a}"}
    )
    request = pb.CreateDatasetRequest(tenant="acme", spec=spec, priority=JOB_PRIORITY_HIGH)
    job = await data_prep.stub.CreateDataset(request, timeout=60)

    stored = await data_prep.bus.last(job_requested("dataset", "acme", job.job_id), JobRequested)
    assert stored.body.priority == JOB_PRIORITY_HIGH
    cores = int(this_machine().cpus)
    needs = dataset_needs(plan_dataset(spec_fields(spec)), cores if cores > 1 else 0)
    assert stored.body.needs.memory_bytes == needs.memory_bytes
    assert stored.body.needs.cpus == 1


async def test_a_pipeline_that_is_not_installed_is_refused_before_a_job_is_queued(
    data_prep: Any,
) -> None:
    file = await data_prep.upload(ROWS)
    entities = {"actions": {"*": "mask"}, "spacy_models": {"en": "en_core_nowhere"}}

    with pytest.raises(InvalidInputError, match="python -m spacy download en_core_nowhere"):
        await data_prep.create(file.file_id, entities=entities)
    assert await data_prep.bus.last_sequence("JOBS") == 0


async def test_an_unknown_file_is_named(data_prep: Any) -> None:
    with pytest.raises(NotFoundError, match="file-unknown"):
        await data_prep.create("file-unknown")


async def test_a_csv_file_with_an_unusable_header_is_refused(data_prep: Any) -> None:
    file = await data_prep.upload(b"q,q,\n1,2,3\n", filename="rows.csv")

    with pytest.raises(InvalidInputError) as caught:
        await data_prep.create(file.file_id)

    assert len(caught.value.errors) == 2


async def test_a_repeated_request_finds_its_job_and_a_different_one_is_refused(
    data_prep: Any,
) -> None:
    file = await data_prep.upload(ROWS)

    first = await data_prep.create(file.file_id, key="k")
    assert await data_prep.create(file.file_id, key="k") == first
    assert (await data_prep.create(file.file_id, key="other")).job_id != first.job_id
    assert (await data_prep.create(file.file_id)).job_id != first.job_id
    with pytest.raises(AlreadyExistsError):
        await data_prep.create(file.file_id, key="k", seed=1)


async def test_the_job_carries_the_spec_with_its_defaults(data_prep: Any) -> None:
    file = await data_prep.upload(ROWS, filename="words and kinds.jsonl")

    created = await data_prep.create(file.file_id, seed=2**63, max_test_rows=7)

    subject = job_requested("dataset", "acme", created.job_id)
    stored = await data_prep.bus.last(subject, JobRequested)
    spec = dict(stored.body.spec)
    assert stored.sequence == created.sequence
    assert stored.body.spec_type == DatasetSpec.DESCRIPTOR.full_name
    assert spec["name"] == "words and kinds"
    assert dict(spec["shares"]) == {"train": 0.8, "valid": 0.1, "test": 0.1}
    assert (spec["seed"], spec["max_test_rows"]) == (str(2**63), 7)
