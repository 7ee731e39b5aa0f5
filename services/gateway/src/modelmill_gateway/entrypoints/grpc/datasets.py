"""Datasets over gRPC: what one would become, the list, a row's story, differences, reports."""

from collections.abc import AsyncGenerator

from modelmill.gateway.v1 import gateway_service_pb2 as pb

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.grpc.messages import alike, dataset_message, page_request
from modelmill_gateway.entrypoints.http.datasets import MAX_LINE
from modelmill_gateway.ordering.manage_datasets import ManageDatasets
from modelmill_gateway.ports import DataPrep


class DatasetProcedures:
    """PreviewDataset, ListDatasets, GetDataset, DeleteDataset, ExplainRow, DiffDatasets and
    DownloadReport."""

    def __init__(self, datasets: ManageDatasets, data_prep: DataPrep) -> None:
        self._datasets = datasets
        self._data_prep = data_prep

    async def PreviewDataset(
        self, request: pb.PreviewDatasetRequest, call: RequestContext
    ) -> pb.PreviewDatasetResponse:
        shown = await self._data_prep.preview_dataset(
            request.spec, tenant=call.caller.tenant, rows=request.rows
        )
        return alike(shown, pb.PreviewDatasetResponse)

    async def ListDatasets(
        self, request: pb.ListDatasetsRequest, call: RequestContext
    ) -> pb.ListDatasetsResponse:
        wanted = page_request(request.after, request.limit)
        datasets = list(self._datasets.ready(call.caller.tenant))
        page = page_of(datasets, wanted, lambda dataset: dataset.dataset_id)
        shown = [dataset_message(dataset) for dataset in page.items]
        return pb.ListDatasetsResponse(datasets=shown, has_more=page.has_more)

    async def GetDataset(
        self, request: pb.GetDatasetRequest, call: RequestContext
    ) -> pb.GetDatasetResponse:
        found = await self._datasets.one(call.caller.tenant, request.dataset_id)
        return pb.GetDatasetResponse(dataset=dataset_message(found))

    async def DeleteDataset(
        self, request: pb.DeleteDatasetRequest, call: RequestContext
    ) -> pb.DeleteDatasetResponse:
        await self._datasets.delete(request.dataset_id, call.caller)
        return pb.DeleteDatasetResponse()

    async def ExplainRow(
        self, request: pb.ExplainRowRequest, call: RequestContext
    ) -> pb.ExplainRowResponse:
        if not 1 <= request.line <= MAX_LINE:
            raise BadRequestError(f"line must be from 1 to {MAX_LINE}", param="line")
        stories = await self._data_prep.explain_row(
            tenant=call.caller.tenant, dataset_id=request.dataset_id, line=request.line
        )
        return pb.ExplainRowResponse(stories=stories)

    async def DiffDatasets(
        self, request: pb.DiffDatasetsRequest, call: RequestContext
    ) -> pb.DiffDatasetsResponse:
        found = await self._data_prep.diff_datasets(
            tenant=call.caller.tenant,
            dataset_id=request.dataset_id,
            other_dataset_id=request.other_dataset_id,
            samples=request.samples,
        )
        return alike(found, pb.DiffDatasetsResponse)

    async def DownloadReport(
        self, request: pb.DownloadReportRequest, call: RequestContext
    ) -> AsyncGenerator[pb.DownloadReportResponse]:
        chunks = self._datasets.report(
            tenant=call.caller.tenant,
            dataset_id=request.dataset_id,
            report_format=request.format,
        )
        async for chunk in chunks:
            yield pb.DownloadReportResponse(chunk=chunk)
