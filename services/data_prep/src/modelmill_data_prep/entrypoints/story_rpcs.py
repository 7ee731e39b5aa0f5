"""The RPCs that look into a dataset: a row's story, what two have not in common, the report."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1 import data_prep_service_pb2_grpc as pb_grpc
from modelmill_bus.subjects import token

from modelmill_data_prep.diff_datasets import DiffDatasets
from modelmill_data_prep.explain_row import ExplainRow
from modelmill_data_prep.read_report import ReadReport

CHUNK_BYTES = 256 * 1024

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class StoryUseCases:
    """What can be asked about a dataset's rows."""

    explain: ExplainRow
    diff: DiffDatasets
    report: ReadReport


class StoryRpcs(pb_grpc.DataPrepServiceServicer):
    """The RPCs that look into datasets; who mixes it in sets `_stories`."""

    _stories: StoryUseCases

    async def ExplainRow(
        self, request: pb.ExplainRowRequest, context: Context
    ) -> pb.ExplainRowResponse:
        stories = await self._stories.explain(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            line=request.line,
        )
        return pb.ExplainRowResponse(stories=stories)

    async def DiffDatasets(
        self, request: pb.DiffDatasetsRequest, context: Context
    ) -> pb.DiffDatasetsResponse:
        return await self._stories.diff(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            other_dataset_id=request.other_dataset_id,
            samples=request.samples,
        )

    async def DownloadReport(
        self, request: pb.DownloadReportRequest, context: Context
    ) -> AsyncIterator[pb.DownloadReportResponse]:
        path = await self._stories.report(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            report_format=request.format,
            job_id=request.job_id and token(request.job_id),
        )
        with await asyncio.to_thread(path.open, "rb") as report:
            while chunk := await asyncio.to_thread(report.read, CHUNK_BYTES):
                yield pb.DownloadReportResponse(chunk=chunk)
