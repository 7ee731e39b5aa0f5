"""modelmill.data_prep.v1 over gRPC: unpack, call the use case, pack. No rules live here."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1 import data_prep_service_pb2_grpc as pb_grpc
from modelmill_bus.subjects import token
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.create_dataset import CreateDataset
from modelmill_data_prep.delete_dataset import DeleteDataset, DeleteFile
from modelmill_data_prep.diff_datasets import DiffDatasets
from modelmill_data_prep.entrypoints.upload_rpcs import UploadRpcs, UploadUseCases
from modelmill_data_prep.explain_row import ExplainRow
from modelmill_data_prep.preview_dataset import PreviewDataset
from modelmill_data_prep.read_file import ReadFile
from modelmill_data_prep.read_report import ReadReport
from modelmill_data_prep.store_file import StoreFile

Context = grpc.aio.ServicerContext[Any, Any]


class PreviewRpcs(pb_grpc.DataPrepServiceServicer):
    """Mix-in with the preview RPC; the subclass sets `_preview_dataset`."""

    _preview_dataset: PreviewDataset

    async def PreviewDataset(
        self, request: pb.PreviewDatasetRequest, context: Context
    ) -> pb.PreviewDatasetResponse:
        return await self._preview_dataset(
            tenant=token(request.tenant, "tenant"), spec=request.spec, rows=request.rows
        )


CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class ProvenanceUseCases:
    """Use cases that inspect datasets."""

    explain: ExplainRow
    diff: DiffDatasets
    report: ReadReport


class ProvenanceRpcs(pb_grpc.DataPrepServiceServicer):
    """Mix-in with RPCs that inspect datasets; the subclass sets `_provenance`."""

    _provenance: ProvenanceUseCases

    async def ExplainRow(
        self, request: pb.ExplainRowRequest, context: Context
    ) -> pb.ExplainRowResponse:
        stories = await self._provenance.explain(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            line=request.line,
        )
        return pb.ExplainRowResponse(stories=stories)

    async def DiffDatasets(
        self, request: pb.DiffDatasetsRequest, context: Context
    ) -> pb.DiffDatasetsResponse:
        return await self._provenance.diff(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            other_dataset_id=request.other_dataset_id,
            samples=request.samples,
        )

    async def DownloadReport(
        self, request: pb.DownloadReportRequest, context: Context
    ) -> AsyncIterator[pb.DownloadReportResponse]:
        path = await self._provenance.report(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            report_format=request.format,
            job_id=request.job_id and token(request.job_id),
        )
        with await asyncio.to_thread(path.open, "rb") as report:
            while chunk := await asyncio.to_thread(report.read, CHUNK_BYTES):
                yield pb.DownloadReportResponse(chunk=chunk)


DOWNLOAD_CHUNK_BYTES = 256 * 1024


class DataPrepServicer(UploadRpcs, PreviewRpcs, ProvenanceRpcs):
    """RPCs for files and datasets; other RPCs are mixed in."""

    def __init__(
        self,
        store_file: StoreFile,
        read_file: ReadFile,
        delete_file: DeleteFile,
        create_dataset: CreateDataset,
        delete_dataset: DeleteDataset,
        uploads: UploadUseCases,
        preview_dataset: PreviewDataset,
        stories: ProvenanceUseCases,
    ) -> None:
        self._store_file = store_file
        self._read_file = read_file
        self._delete_file = delete_file
        self._create_dataset = create_dataset
        self._delete_dataset = delete_dataset
        self._uploads = uploads
        self._preview_dataset = preview_dataset
        self._provenance = stories

    async def UploadFile(
        self, request_iterator: AsyncIterator[pb.UploadFileRequest], context: Context
    ) -> pb.UploadFileResponse:
        first = await anext(aiter(request_iterator), pb.UploadFileRequest())
        if first.WhichOneof("part") != "header":
            raise InvalidInputError("the first message must carry the header")
        file = await self._store_file(
            tenant=token(first.header.tenant, "tenant"),
            filename=first.header.filename,
            purpose=first.header.purpose,
            chunks=_chunks(request_iterator),
            file_id=token(first.header.file_id) if first.header.file_id else "",
        )
        return pb.UploadFileResponse(file=file)

    async def GetFile(self, request: pb.GetFileRequest, context: Context) -> pb.GetFileResponse:
        tenant = token(request.tenant, "tenant")
        file = await self._read_file.record(tenant=tenant, file_id=request.file_id)
        return pb.GetFileResponse(file=file)

    async def ListFiles(
        self, request: pb.ListFilesRequest, context: Context
    ) -> pb.ListFilesResponse:
        files = await self._read_file.records(tenant=token(request.tenant, "tenant"))
        return pb.ListFilesResponse(files=files)

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: Context
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        tenant = token(request.tenant, "tenant")
        file = await self._read_file.record(
            tenant=tenant,
            file_id=request.file_id,
            include_deleted=request.include_deleted,
        )
        path = await self._read_file.content(file)
        with await asyncio.to_thread(path.open, "rb") as content:
            while chunk := await asyncio.to_thread(content.read, DOWNLOAD_CHUNK_BYTES):
                yield pb.DownloadFileResponse(chunk=chunk)

    async def DeleteFile(
        self, request: pb.DeleteFileRequest, context: Context
    ) -> pb.DeleteFileResponse:
        tenant = token(request.tenant, "tenant")
        sequence = await self._delete_file(tenant=tenant, file_id=request.file_id)
        return pb.DeleteFileResponse(sequence=sequence)

    async def CreateDataset(
        self, request: pb.CreateDatasetRequest, context: Context
    ) -> pb.CreateDatasetResponse:
        accepted = await self._create_dataset(
            tenant=token(request.tenant, "tenant"),
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=request.spec,
            priority=request.priority,
        )
        return pb.CreateDatasetResponse(
            job_id=accepted.job_id,
            dataset_id=accepted.dataset_id,
            sequence=accepted.sequence,
        )

    async def DeleteDataset(
        self, request: pb.DeleteDatasetRequest, context: Context
    ) -> pb.DeleteDatasetResponse:
        sequence = await self._delete_dataset(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            requested_by=request.requested_by,
        )
        return pb.DeleteDatasetResponse(sequence=sequence)


async def _chunks(requests: AsyncIterator[pb.UploadFileRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise InvalidInputError("every message after the first must carry a chunk")
        yield request.chunk
