"""Files, uploads and datasets over gRPC.

Bytes come in messages, a header first, then pieces, which are passed on as they come.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_service_kit.errors import InvalidInputError, TooLargeError

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.grpc.messages import alike, dataset_message, page_request
from modelmill_gateway.entrypoints.http.datasets import MAX_LINE
from modelmill_gateway.entrypoints.schemas.files import MAX_PARTS, PURPOSES, WRONG_PURPOSE
from modelmill_gateway.ordering.find_file import FindFile
from modelmill_gateway.ordering.manage_datasets import ManageDatasets
from modelmill_gateway.ports import DataPrep

MAX_CHUNK_BYTES = 1024 * 1024


class FileProcedures:
    """Files, and uploads in parts.

    Args:
        max_bytes: of a file or a part; whoever keeps the parts may allow less.
    """

    def __init__(self, files: DataPrep, find_file: FindFile, *, max_bytes: int) -> None:
        self._files = files
        self._find_file = find_file
        self._max_bytes = max_bytes

    async def UploadFile(
        self, requests: AsyncIterator[pb.UploadFileRequest], call: RequestContext
    ) -> pb.UploadFileResponse:
        header = await _header_of(requests)
        _check_header(header)
        file = await self._files.upload(
            _chunks_of(_before_end(requests), self._max_bytes),
            tenant=call.caller.tenant,
            filename=header.filename,
            purpose=header.purpose,
        )
        return pb.UploadFileResponse(file=file)

    async def ListFiles(
        self, request: pb.ListFilesRequest, call: RequestContext
    ) -> pb.ListFilesResponse:
        wanted = page_request(request.after, request.limit)
        files = list(await self._files.list(tenant=call.caller.tenant))
        page = page_of(files, wanted, lambda file: file.file_id)
        return pb.ListFilesResponse(files=page.items, has_more=page.has_more)

    async def GetFile(self, request: pb.GetFileRequest, call: RequestContext) -> pb.GetFileResponse:
        file = await self._find_file(call.caller.tenant, request.file_id)
        return pb.GetFileResponse(file=file)

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, call: RequestContext
    ) -> AsyncGenerator[pb.DownloadFileResponse]:
        await self._find_file(call.caller.tenant, request.file_id)
        chunks = self._files.content(tenant=call.caller.tenant, file_id=request.file_id)
        async for chunk in chunks:
            yield pb.DownloadFileResponse(chunk=chunk)

    async def DeleteFile(
        self, request: pb.DeleteFileRequest, call: RequestContext
    ) -> pb.DeleteFileResponse:
        await self._files.delete_file(tenant=call.caller.tenant, file_id=request.file_id)
        return pb.DeleteFileResponse()

    async def CreateUpload(
        self, request: pb.CreateUploadRequest, call: RequestContext
    ) -> pb.CreateUploadResponse:
        _check_header(request.header)
        upload = await self._files.create_upload(
            tenant=call.caller.tenant,
            filename=request.header.filename,
            purpose=request.header.purpose,
            size_bytes=request.size_bytes,
        )
        return pb.CreateUploadResponse(upload=upload)

    async def AddUploadPart(
        self, requests: AsyncIterator[pb.AddUploadPartRequest], call: RequestContext
    ) -> pb.AddUploadPartResponse:
        header = await _header_of(requests)
        part = await self._files.add_upload_part(
            _chunks_of(requests, self._max_bytes),
            tenant=call.caller.tenant,
            upload_id=header.upload_id,
        )
        return pb.AddUploadPartResponse(part_id=part.part_id, created_at=part.created_at)

    async def CompleteUpload(
        self, request: pb.CompleteUploadRequest, call: RequestContext
    ) -> pb.CompleteUploadResponse:
        if len(request.part_ids) > MAX_PARTS:
            raise InvalidInputError(f"part_ids: must be at most {MAX_PARTS}")
        upload = await self._files.complete_upload(
            tenant=call.caller.tenant,
            upload_id=request.upload_id,
            part_ids=request.part_ids,
            md5=request.md5,
        )
        return pb.CompleteUploadResponse(upload=upload)

    async def CancelUpload(
        self, request: pb.CancelUploadRequest, call: RequestContext
    ) -> pb.CancelUploadResponse:
        upload = await self._files.cancel_upload(
            tenant=call.caller.tenant, upload_id=request.upload_id
        )
        return pb.CancelUploadResponse(upload=upload)


def _check_header(header: pb.FileHeader) -> None:
    """Refuse a header that does not say enough of its file.

    Raises:
        InvalidInputError: names every field that is missing or wrong.
    """
    fields = (("filename", header.filename), ("purpose", header.purpose))
    wrong = [f"header.{name}: must be given" for name, value in fields if not value]
    if header.purpose and header.purpose not in PURPOSES:
        wrong.append(f"header.{WRONG_PURPOSE}")
    if wrong:
        raise InvalidInputError(wrong)


async def _header_of(requests: AsyncIterator[Any]) -> Any:
    """What the first message says of the bytes to come.

    Raises:
        InvalidInputError: it says nothing.
    """
    first = await anext(aiter(requests), None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidInputError("the first message must carry the header")
    return first.header


async def _before_end(
    requests: AsyncIterator[pb.UploadFileRequest],
) -> AsyncIterator[pb.UploadFileRequest]:
    """The messages of a file before the one that says that it is whole.

    gRPC ends the messages of a client that left like those of one that is done, and says only
    later which it was.

    Raises:
        InvalidInputError: they cease without it.
    """
    async for request in requests:
        if request.WhichOneof("part") == "end":
            return
        yield request
    raise InvalidInputError("the last message must carry the end: the file may not be whole")


async def _chunks_of(requests: AsyncIterator[Any], max_bytes: int) -> AsyncIterator[bytes]:
    """The bytes behind the header; the next message is read once this one is passed on.

    Raises:
        InvalidInputError: a message carries no chunk, or one that is too large.
        TooLargeError: all together have more bytes than `max_bytes`.
    """
    seen = 0
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise InvalidInputError("every message after the first must carry a chunk")
        if len(request.chunk) > MAX_CHUNK_BYTES:
            raise InvalidInputError(f"chunk: must be at most {MAX_CHUNK_BYTES} bytes")
        seen += len(request.chunk)
        if seen > max_bytes:
            raise TooLargeError(f"the file is larger than {max_bytes} bytes")
        yield request.chunk


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
        provenance = await self._data_prep.explain_row(
            tenant=call.caller.tenant,
            dataset_id=request.dataset_id,
            line=request.line,
            file_id=request.file_id,
        )
        return pb.ExplainRowResponse(provenance=provenance)

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
