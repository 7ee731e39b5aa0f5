"""Datasets over gRPC: what one would become, the list, a row's provenance, differences, reports."""

from typing import Any

import grpc
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused, upload_rows
from gateway_support.house import House
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec, RowMapping
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_QUEUED
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.subjects import DATASET_READY
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

Status = grpc.StatusCode
MINE, OTHER = "ds-acme1", "ds-acme2"
TEXTS = DatasetSpec(file_id="file-x", mapping=RowMapping(layout="text"))


async def say_ready(house: House, tenant: str, dataset_id: str) -> None:
    """Publish a dataset."""
    ready = DatasetReady(dataset_id=dataset_id, tenant=tenant, name="kinds", counts={"train": 8})
    ready.created_at.GetCurrentTime()
    await house.bus.publish(DATASET_READY, ready, msg_id=dataset_id)


async def listed(stub: GatewayServiceStub, **page: Any) -> pb.ListDatasetsResponse:
    found: pb.ListDatasetsResponse = await stub.ListDatasets(
        pb.ListDatasetsRequest(**page), timeout=CALL_SECONDS
    )
    return found


async def test_ready_datasets_are_listed_in_pages_and_shown(house: House):
    ids = [f"ds-lists{n}" for n in range(3)]
    for dataset_id in ids:
        await say_ready(house, "lists", dataset_id)
    async with grpc_stub(house, tenant="lists") as stub:

        async def all_known() -> bool:
            return len((await listed(stub)).datasets) == len(ids)

        await eventually(all_known)
        first = await listed(stub, limit=2)
        second = await listed(stub, after=first.datasets[-1].id)
        asked = pb.GetDatasetRequest(dataset_id=ids[0])
        one = (await stub.GetDataset(asked, timeout=CALL_SECONDS)).dataset

    assert [dataset.id for dataset in (*first.datasets, *second.datasets)] == ids[::-1]
    assert (first.has_more, second.has_more) == (True, False)
    assert (one.id, one.WhichOneof("state")) == (ids[0], "ready")
    assert (one.ready.name, dict(one.ready.counts)) == ("kinds", {"train": 8})


async def test_a_dataset_in_the_making_is_shown_by_its_job(house: House):
    async with grpc_stub(house, tenant="makes") as stub:
        file = await upload_rows(stub)
        spec = DatasetSpec(file_id=file.file_id, mapping=RowMapping(layout="text"))
        ordered = await stub.CreateDataset(pb.CreateDatasetRequest(spec=spec), timeout=CALL_SECONDS)
        asked = pb.GetDatasetRequest(dataset_id=ordered.dataset_id)
        shown = (await stub.GetDataset(asked, timeout=CALL_SECONDS)).dataset

        assert list((await listed(stub)).datasets) == []
    assert (shown.id, shown.WhichOneof("state")) == (ordered.dataset_id, "job")
    assert (shown.job.id, shown.job.status) == (ordered.job.id, JOB_STATUS_QUEUED)


async def test_a_deleted_dataset_is_gone(house: House):
    await say_ready(house, "tidy", "ds-tidy")
    async with grpc_stub(house, tenant="tidy") as stub:

        async def known() -> bool:
            return len((await listed(stub)).datasets) == 1

        await eventually(known)
        asked = pb.DeleteDatasetRequest(dataset_id="ds-tidy")
        await stub.DeleteDataset(asked, timeout=CALL_SECONDS)
        assert list((await listed(stub)).datasets) == []
        async with refused(Status.NOT_FOUND):
            await stub.GetDataset(pb.GetDatasetRequest(dataset_id="ds-tidy"), timeout=CALL_SECONDS)
        async with refused(Status.NOT_FOUND):
            unknown = pb.DeleteDatasetRequest(dataset_id="ds-nobody")
            await stub.DeleteDataset(unknown, timeout=CALL_SECONDS)


async def test_a_file_that_a_job_needs_stays(house: House):
    async with grpc_stub(house, tenant="uses") as stub:
        file = await upload_rows(stub)
        spec = DatasetSpec(file_id=file.file_id, mapping=RowMapping(layout="text"))
        ordered = await stub.CreateDataset(pb.CreateDatasetRequest(spec=spec), timeout=CALL_SECONDS)
        in_use = f"in use by job {ordered.job.id}"
        async with refused(Status.FAILED_PRECONDITION, in_use):
            asked = pb.DeleteFileRequest(file_id=file.file_id)
            await stub.DeleteFile(asked, timeout=CALL_SECONDS)


async def test_a_preview_passes_the_spec_on_and_shows_what_came_of_each_row(house: House):
    async with grpc_stub(house, tenant="looks") as stub:
        asked = pb.PreviewDatasetRequest(spec=TEXTS, rows=2)
        shown = await stub.PreviewDataset(asked, timeout=CALL_SECONDS)

    passed_on = house.data_prep.previewed[-1]
    assert (passed_on.tenant, passed_on.spec, passed_on.rows) == ("looks", TEXTS, 2)
    assert list(shown.columns) == ["word", "kind"]
    assert [(row.line, row.row_json, row.reason) for row in shown.rows] == [
        (1, '{"messages": []}', ""),
        (3, "", "read.not_json: not JSON"),
    ]


async def test_a_rows_story_and_what_differs_are_told_whole(house: House):
    async with grpc_stub(house) as stub:
        asked = pb.ExplainRowRequest(dataset_id=MINE, line=2)
        kept, made = (await stub.ExplainRow(asked, timeout=CALL_SECONDS)).provenance
        found = await stub.DiffDatasets(
            pb.DiffDatasetsRequest(dataset_id=MINE, other_dataset_id=OTHER, samples=3),
            timeout=CALL_SECONDS,
        )

    assert (kept.line, kept.outcome, kept.split, made.rule) == (
        *(2, "kept", "train"),
        "duplicates.exact",
    )
    assert (found.rows_added, list(found.added)) == (200, [f'{{"row": {n}}}' for n in range(3)])


@pytest.mark.parametrize("line", [0, 2**53 + 1, 2**64 - 1])
async def test_a_line_is_one_that_http_would_take(house: House, line: int):
    async with grpc_stub(house) as stub, refused(Status.INVALID_ARGUMENT, "line must be"):
        asked = pb.ExplainRowRequest(dataset_id=MINE, line=line)
        await stub.ExplainRow(asked, timeout=CALL_SECONDS)


async def test_a_report_comes_in_pieces(house: House):
    async with grpc_stub(house) as stub:
        asked = pb.DownloadReportRequest(dataset_id=MINE, format="html")
        pieces = [one.chunk async for one in stub.DownloadReport(asked, timeout=CALL_SECONDS)]

    assert pieces == [b'{"report": "', b'html"}']


async def test_another_tenants_dataset_is_not_there(house: House):
    await say_ready(house, "umbra", "ds-umbra")
    theirs = {"dataset_id": "ds-umbra"}
    async with grpc_stub(house, tenant="umbra") as stub:

        async def known() -> bool:
            return len((await listed(stub)).datasets) == 1

        await eventually(known)
    async with grpc_stub(house) as stub:
        for call in (
            stub.GetDataset(pb.GetDatasetRequest(**theirs), timeout=CALL_SECONDS),
            stub.ExplainRow(pb.ExplainRowRequest(**theirs, line=1), timeout=CALL_SECONDS),
            stub.DiffDatasets(
                pb.DiffDatasetsRequest(dataset_id=MINE, other_dataset_id="ds-umbra"),
                timeout=CALL_SECONDS,
            ),
        ):
            async with refused(Status.NOT_FOUND):
                await call
        async with refused(Status.NOT_FOUND):
            asked = pb.DownloadReportRequest(**theirs)
            await anext(aiter(stub.DownloadReport(asked, timeout=CALL_SECONDS)))
        assert "ds-umbra" not in {one.id for one in (await listed(stub)).datasets}
