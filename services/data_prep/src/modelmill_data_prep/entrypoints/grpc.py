"""modelmill.data_prep.v1 over gRPC: unpack, call the use case, pack. No rules live here."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1 import data_prep_service_pb2_grpc as pb_grpc
from modelmill_bus.subjects import token
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.compare_datasets import CompareDatasets, DiffDatasets, ListUnsharedRows
from modelmill_data_prep.create_dataset import CreateDataset
from modelmill_data_prep.delete_dataset import DeleteDataset, DeleteFile
from modelmill_data_prep.preview_dataset import PreviewDataset
from modelmill_data_prep.read_dataset import ExplainRow, ReadReport
from modelmill_data_prep.receive_upload import (
    AddUploadPart,
    CancelUpload,
    CompleteUpload,
    CreateUpload,
)
from modelmill_data_prep.records import FileRecords
from modelmill_data_prep.store_file import StoreFile

CHUNK_BYTES = 256 * 1024

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class DataPrepUseCases:
    """What callers can ask of data-prep."""

    files: FileRecords
    store_file: StoreFile
    delete_file: DeleteFile
    create_upload: CreateUpload
    add_upload_part: AddUploadPart
    complete_upload: CompleteUpload
    cancel_upload: CancelUpload
    create_dataset: CreateDataset
    preview_dataset: PreviewDataset
    delete_dataset: DeleteDataset
    explain_row: ExplainRow
    diff_datasets: DiffDatasets
    compare_datasets: CompareDatasets
    list_unshared_rows: ListUnsharedRows
    read_report: ReadReport


class DataPrepServicer(pb_grpc.DataPrepServiceServicer):
    """RPCs for files, uploads and datasets."""

    def __init__(self, use_cases: DataPrepUseCases) -> None:
        self._use_cases = use_cases

    async def UploadFile(
        self, request_iterator: AsyncIterator[pb.UploadFileRequest], context: Context
    ) -> pb.UploadFileResponse:
        first = await anext(aiter(request_iterator), pb.UploadFileRequest())
        if first.WhichOneof("part") != "header":
            raise InvalidInputError("the first message must carry the header")
        file = await self._use_cases.store_file(
            tenant=token(first.header.tenant, "tenant"),
            filename=first.header.filename,
            purpose=first.header.purpose,
            chunks=_file_chunks(request_iterator),
            file_id=token(first.header.file_id) if first.header.file_id else "",
            expires_after_seconds=first.header.expires_after_seconds,
        )
        return pb.UploadFileResponse(file=file)

    async def GetFile(self, request: pb.GetFileRequest, context: Context) -> pb.GetFileResponse:
        tenant = token(request.tenant, "tenant")
        file = await self._use_cases.files.get(tenant, request.file_id)
        return pb.GetFileResponse(file=file)

    async def ListFiles(
        self, request: pb.ListFilesRequest, context: Context
    ) -> pb.ListFilesResponse:
        files = await self._use_cases.files.list(token(request.tenant, "tenant"))
        return pb.ListFilesResponse(files=files)

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: Context
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        tenant = token(request.tenant, "tenant")
        file = await self._use_cases.files.get(tenant, request.file_id)
        path = await self._use_cases.files.content(file)
        async for chunk in _read(path):
            yield pb.DownloadFileResponse(chunk=chunk)

    async def DeleteFile(
        self, request: pb.DeleteFileRequest, context: Context
    ) -> pb.DeleteFileResponse:
        tenant = token(request.tenant, "tenant")
        sequence = await self._use_cases.delete_file(tenant=tenant, file_id=request.file_id)
        return pb.DeleteFileResponse(sequence=sequence)

    async def CreateUpload(
        self, request: pb.CreateUploadRequest, context: Context
    ) -> pb.CreateUploadResponse:
        token(request.header.tenant, "tenant")
        upload = await self._use_cases.create_upload(
            header=request.header, size_bytes=request.size_bytes
        )
        return pb.CreateUploadResponse(upload=upload)

    async def AddUploadPart(
        self, request_iterator: AsyncIterator[pb.AddUploadPartRequest], context: Context
    ) -> pb.AddUploadPartResponse:
        first = await anext(aiter(request_iterator), pb.AddUploadPartRequest())
        if first.WhichOneof("part") != "header":
            raise InvalidInputError("the first message must carry the header")
        part = await self._use_cases.add_upload_part(
            tenant=token(first.header.tenant, "tenant"),
            upload_id=first.header.upload_id,
            chunks=_part_chunks(request_iterator),
        )
        return pb.AddUploadPartResponse(part_id=part.part_id, created_at=part.created_at)

    async def CompleteUpload(
        self, request: pb.CompleteUploadRequest, context: Context
    ) -> pb.CompleteUploadResponse:
        upload = await self._use_cases.complete_upload(
            tenant=token(request.tenant, "tenant"),
            upload_id=request.upload_id,
            part_ids=list(request.part_ids),
            md5=request.md5,
        )
        return pb.CompleteUploadResponse(upload=upload)

    async def CancelUpload(
        self, request: pb.CancelUploadRequest, context: Context
    ) -> pb.CancelUploadResponse:
        tenant = token(request.tenant, "tenant")
        upload = await self._use_cases.cancel_upload(tenant=tenant, upload_id=request.upload_id)
        return pb.CancelUploadResponse(upload=upload)

    async def CreateDataset(
        self, request: pb.CreateDatasetRequest, context: Context
    ) -> pb.CreateDatasetResponse:
        accepted = await self._use_cases.create_dataset(
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

    async def PreviewDataset(
        self, request: pb.PreviewDatasetRequest, context: Context
    ) -> pb.PreviewDatasetResponse:
        return await self._use_cases.preview_dataset(
            tenant=token(request.tenant, "tenant"), spec=request.spec, rows=request.rows
        )

    async def DeleteDataset(
        self, request: pb.DeleteDatasetRequest, context: Context
    ) -> pb.DeleteDatasetResponse:
        sequence = await self._use_cases.delete_dataset(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            requested_by=request.requested_by,
        )
        return pb.DeleteDatasetResponse(sequence=sequence)

    async def ExplainRow(
        self, request: pb.ExplainRowRequest, context: Context
    ) -> pb.ExplainRowResponse:
        rows = await self._use_cases.explain_row(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            line=request.line,
            file_id=request.file_id,
        )
        return pb.ExplainRowResponse(provenance=rows)

    async def DiffDatasets(
        self, request: pb.DiffDatasetsRequest, context: Context
    ) -> pb.DiffDatasetsResponse:
        return await self._use_cases.diff_datasets(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            other_dataset_id=request.other_dataset_id,
            samples=request.samples,
        )

    async def CompareDatasets(
        self, request: pb.CompareDatasetsRequest, context: Context
    ) -> pb.CompareDatasetsResponse:
        return await self._use_cases.compare_datasets(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            other_dataset_id=request.other_dataset_id,
        )

    async def ListUnsharedRows(
        self, request: pb.ListUnsharedRowsRequest, context: Context
    ) -> pb.ListUnsharedRowsResponse:
        return await self._use_cases.list_unshared_rows(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            other_dataset_id=request.other_dataset_id,
            after=request.after,
            limit=request.limit,
        )

    async def DownloadReport(
        self, request: pb.DownloadReportRequest, context: Context
    ) -> AsyncIterator[pb.DownloadReportResponse]:
        path = await self._use_cases.read_report(
            tenant=token(request.tenant, "tenant"),
            dataset_id=request.dataset_id,
            report_format=request.format,
            job_id=request.job_id and token(request.job_id),
        )
        async for chunk in _read(path):
            yield pb.DownloadReportResponse(chunk=chunk)


async def _file_chunks(requests: AsyncIterator[pb.UploadFileRequest]) -> AsyncIterator[bytes]:
    """The bytes of a file.

    gRPC ends the messages of a client that left like those of one that is done, and says only
    later which it was: the last message says that the file is whole.
    """
    async for request in requests:
        if request.WhichOneof("part") == "end":
            return
        yield _chunk(request)
    raise InvalidInputError("the last message must carry the end: the file may not be whole")


async def _part_chunks(requests: AsyncIterator[pb.AddUploadPartRequest]) -> AsyncIterator[bytes]:
    """The bytes of a part; who ends the upload says how many all parts have."""
    async for request in requests:
        yield _chunk(request)


def _chunk(request: pb.UploadFileRequest | pb.AddUploadPartRequest) -> bytes:
    if request.WhichOneof("part") != "chunk":
        raise InvalidInputError("every message after the first must carry a chunk")
    return request.chunk


async def _read(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
