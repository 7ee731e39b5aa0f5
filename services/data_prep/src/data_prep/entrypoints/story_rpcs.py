"""The RPCs that look into a dataset: a row's story, what two have not in common, the report."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from jobs.subjects import token
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb

from data_prep.diff_datasets import DiffDatasets
from data_prep.explain_row import ExplainRow
from data_prep.read_report import ReadReport

CHUNK_BYTES = 256 * 1024

Context = grpc.aio.ServicerContext[Any, Any]


class StoryRpcs:
    """Unpack, call the use case, pack."""

    def __init__(
        self, explain_row: ExplainRow, diff_datasets: DiffDatasets, read_report: ReadReport
    ) -> None:
        self._explain_row = explain_row
        self._diff_datasets = diff_datasets
        self._read_report = read_report

    async def ExplainRow(
        self, request: pb.ExplainRowRequest, context: Context
    ) -> pb.ExplainRowResponse:
        stories = await self._explain_row(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            line=request.line,
        )
        return pb.ExplainRowResponse(stories=stories)

    async def DiffDatasets(
        self, request: pb.DiffDatasetsRequest, context: Context
    ) -> pb.DiffDatasetsResponse:
        return await self._diff_datasets(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            other_dataset_id=request.other_dataset_id,
            samples=request.samples,
        )

    async def DownloadReport(
        self, request: pb.DownloadReportRequest, context: Context
    ) -> AsyncIterator[pb.DownloadReportResponse]:
        path = await self._read_report(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            report_format=request.format,
        )
        with await asyncio.to_thread(path.open, "rb") as report:
            while chunk := await asyncio.to_thread(report.read, CHUNK_BYTES):
                yield pb.DownloadReportResponse(chunk=chunk)
