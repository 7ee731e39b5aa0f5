"""A dataset of the running service can be asked about its rows, and compared with another."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.gateway.v1.gateway_events_pb2 import (
    TENANT_STATUS_ERASING,
    TenantErased,
    TenantState,
)
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill_bus.kinds import dataset_id_of
from modelmill_bus.subjects import ERASERS, tenant_erased, tenant_state
from modelmill_bus.tenant_eraser import TenantEraser
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.grpc_client import domain_errors
from modelmill_testkit.waiting import eventually

ROWS = [{"q": f"  question   {n}", "a": "yes"} for n in range(20)]


async def made(
    service: Any, rows: list[dict[str, str]], *, tenant: str = "acme", **spec: Any
) -> str:
    file = await service.upload(rows, tenant=tenant)
    created = await service.create(file.file_id, tenant=tenant, **spec)
    state = await service.ended(created.job_id)
    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    assert created.dataset_id == dataset_id_of(created.job_id)
    dataset_id: str = created.dataset_id
    return dataset_id


async def explained(service: Any, dataset_id: str, line: int, tenant: str = "acme") -> Any:
    request = pb.ExplainRowRequest(tenant=tenant, dataset_id=dataset_id, line=line)
    with domain_errors():
        return (await service.stub.ExplainRow(request, timeout=30)).provenance


@pytest.mark.heavy
async def test_rows_are_explained_compared_and_reported(working_data_prep: Any) -> None:
    service = working_data_prep
    first = await made(service, [*ROWS, {"q": "Question 3", "a": "YES"}])
    second = await made(service, ROWS[2:], seed=7)

    (kept,) = await explained(service, first, 3)
    assert (kept.outcome, list(kept.changes)) == ("kept", ["spaces@2"])
    assert json.loads(kept.row_json)["messages"][0]["content"] == "question 2"
    (gone,) = await explained(service, first, 21)
    assert (gone.outcome, gone.rule) == ("dropped", "duplicates.exact")
    assert gone.detail == "same content as line 4"
    for line, tenant in ((22, "acme"), (3, "other")):
        with pytest.raises(NotFoundError):
            await explained(service, first, line, tenant)
    with pytest.raises(InvalidInputError, match="at least 1"):
        await explained(service, first, 0)

    request = pb.DiffDatasetsRequest(tenant="acme", dataset_id=first, other_dataset_id=second)
    found = await service.stub.DiffDatasets(request, timeout=30)
    assert (found.rows_common, found.rows_removed, found.rows_added) == (18, 2, 0)
    assert sorted(json.loads(row)["row"] for row in found.removed) == [1, 2]
    assert 'seed: nothing -> "7"' in found.spec_changes
    assert not found.same

    await check_comparison(service, first, second)
    for kind, opening in (("json", b"{"), ("html", b"<!doctype html>")):
        report = pb.DownloadReportRequest(tenant="acme", dataset_id=first, format=kind)
        stream = service.stub.DownloadReport(report, timeout=30)
        content = b"".join([part.chunk async for part in stream])
        assert content.startswith(opening)
    assert b"duplicates.exact" in content


async def check_comparison(service: Any, first: str, second: str) -> None:
    both = {"tenant": "acme", "dataset_id": first, "other_dataset_id": second}
    found = await service.stub.CompareDatasets(pb.CompareDatasetsRequest(**both), timeout=30)
    page = pb.ListUnsharedRowsRequest(**both, after=1, limit=1)
    rows = await service.stub.ListUnsharedRows(page, timeout=30)

    assert (found.rows_common, found.first.rows_unshared, found.second.rows) == (18, 2, 18)
    assert (found.first.dataset_id, found.second.dataset_id) == (first, second)
    assert json.loads(found.second.spec_json)["seed"] == "7"
    assert ("dropped duplicates.exact", 1, 0) in {
        (each.name, each.first, each.second) for each in found.removed
    }
    assert [(row.number, row.because, rows.has_more) for row in rows.rows] == [(2, "absent", False)]
    for changes, error, words in (
        ({"other_dataset_id": first}, InvalidInputError, "named twice"),
        ({"other_dataset_id": "ds-none"}, NotFoundError, "ds-none"),
        ({"tenant": "other"}, NotFoundError, first),
    ):
        with pytest.raises(error, match=words), domain_errors():
            await service.stub.CompareDatasets(
                pb.CompareDatasetsRequest(**both | changes), timeout=30
            )
    with pytest.raises(InvalidInputError, match="limit must be at most 100"), domain_errors():
        await service.stub.ListUnsharedRows(
            pb.ListUnsharedRowsRequest(**both, limit=101), timeout=30
        )


def files_of(work: Path, tenant: str) -> list[Path]:
    """Files in folders of the tenant's name."""
    return [each for each in work.rglob(f"{tenant}/**/*") if each.is_file()]


@pytest.mark.heavy
async def test_stored_comparisons_are_erased_with_their_tenant_alone(
    working_data_prep: Any,
) -> None:
    service, work = working_data_prep, working_data_prep.root / "work"
    for tenant in ("acme", "rival"):
        first, second = [await made(service, ROWS[at:], tenant=tenant) for at in range(2)]
        request = pb.CompareDatasetsRequest(
            tenant=tenant, dataset_id=first, other_dataset_id=second
        )
        await service.stub.CompareDatasets(request, timeout=30)
        assert files_of(work, tenant)

    state = TenantState(tenant="acme", status=TENANT_STATUS_ERASING)
    await service.bus.publish(tenant_state("acme"), state)
    others = [TenantEraser(service.bus, each) for each in ERASERS if each != "data-prep"]
    await asyncio.gather(*(each.erase("acme") for each in others))

    async def answer() -> TenantErased | None:
        told = await service.bus.last(tenant_erased("acme", "data-prep"), TenantErased)
        return told.body if told is not None and told.body.done else None

    told = await eventually(answer)
    assert told is not None
    assert ("comparisons", 1) in {(each.kind, each.count) for each in told.removed}
    assert files_of(work, "acme") == []
    assert files_of(work, "rival")
