"""The data-prep service: files and datasets."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1.data_prep_service_pb2_grpc import DataPrepServiceStub
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_service_kit.grpc_client import domain_errors

PEER = "data-prep"
CALL_SECONDS = 30.0
DATASET_SECONDS = 60.0
"""A dataset may have to be fetched first."""
COMPARISON_SECONDS = 300.0
"""As long as data-prep compares at most."""
TRANSFER_SECONDS = 3600.0


class GrpcDataPrep:
    """Data-prep behind its gRPC port."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = DataPrepServiceStub(channel)

    async def upload(
        self,
        chunks: AsyncIterator[bytes],
        *,
        tenant: str,
        filename: str,
        purpose: str,
        file_id: str = "",
        expires_after_seconds: int = 0,
    ) -> FileState:
        """Store the bytes as they come. Each chunk must be at most 1 MiB.

        Args:
            file_id: of the file, for who may say the same twice; empty for one of chance.
            expires_after_seconds: until it is deleted by itself; 0 for never.

        Raises:
            AlreadyExistsError: there is a file of the given id.
        """
        header = pb.UploadHeader(
            tenant=tenant,
            filename=filename,
            purpose=purpose,
            file_id=file_id,
            expires_after_seconds=expires_after_seconds,
        )
        response: pb.UploadFileResponse = await _streamed(
            self._stub.UploadFile,
            pb.UploadFileRequest(header=header),
            _file_messages(chunks),
        )
        return response.file

    async def create_upload(
        self,
        *,
        tenant: str,
        filename: str,
        purpose: str,
        size_bytes: int,
        expires_after_seconds: int = 0,
    ) -> pb.Upload:
        """Begin a file that comes in parts.

        Raises:
            InvalidInputError: the name or the purpose is wrong.
            TooLargeError: larger than data-prep's limit.
            OverloadedError: too many uploads of the tenant's are open.
        """
        header = pb.UploadHeader(
            tenant=tenant,
            filename=filename,
            purpose=purpose,
            expires_after_seconds=expires_after_seconds,
        )
        request = pb.CreateUploadRequest(header=header, size_bytes=size_bytes)
        with domain_errors(PEER):
            return (await self._stub.CreateUpload(request, timeout=CALL_SECONDS)).upload

    async def add_upload_part(
        self, chunks: AsyncIterator[bytes], *, tenant: str, upload_id: str
    ) -> pb.AddUploadPartResponse:
        """Store a part as it comes. Each chunk must be at most 1 MiB.

        Raises:
            NotFoundError: no such upload, or it is over.
            InvalidInputError: the part is empty or too large.
        """
        header = pb.UploadPartHeader(tenant=tenant, upload_id=upload_id)
        response: pb.AddUploadPartResponse = await _streamed(
            self._stub.AddUploadPart,
            pb.AddUploadPartRequest(header=header),
            (pb.AddUploadPartRequest(chunk=chunk) async for chunk in chunks),
        )
        return response

    async def complete_upload(
        self, *, tenant: str, upload_id: str, part_ids: Sequence[str], md5: str
    ) -> pb.Upload:
        """Join the parts to a file.

        Raises:
            NotFoundError: no such upload, or it was cancelled.
            InvalidInputError: a part is unknown, or the size or digest differs.
        """
        request = pb.CompleteUploadRequest(
            tenant=tenant, upload_id=upload_id, part_ids=part_ids, md5=md5
        )
        with domain_errors(PEER):
            return (await self._stub.CompleteUpload(request, timeout=TRANSFER_SECONDS)).upload

    async def cancel_upload(self, *, tenant: str, upload_id: str) -> pb.Upload:
        """End an upload. Raises NotFoundError."""
        request = pb.CancelUploadRequest(tenant=tenant, upload_id=upload_id)
        with domain_errors(PEER):
            return (await self._stub.CancelUpload(request, timeout=CALL_SECONDS)).upload

    async def get(self, *, tenant: str, file_id: str) -> FileState:
        """One file's record. Raises NotFoundError."""
        request = pb.GetFileRequest(tenant=tenant, file_id=file_id)
        with domain_errors(PEER):
            return (await self._stub.GetFile(request, timeout=CALL_SECONDS)).file

    async def list(self, *, tenant: str) -> Sequence[FileState]:
        """The tenant's files, newest first."""
        with domain_errors(PEER):
            request = pb.ListFilesRequest(tenant=tenant)
            return (await self._stub.ListFiles(request, timeout=CALL_SECONDS)).files

    def content(self, *, tenant: str, file_id: str) -> AsyncIterator[bytes]:
        """The file's bytes as they come. Raises NotFoundError on the first step."""
        request = pb.DownloadFileRequest(tenant=tenant, file_id=file_id)
        return downloaded(self._stub.DownloadFile, request, PEER)

    async def delete_file(self, *, tenant: str, file_id: str) -> int:
        """Take a file out of use; gives the sequence of its record.

        Raises:
            NotFoundError: unknown, deleted, or another tenant's.
            PreconditionError: jobs that have not ended need it.
        """
        request = pb.DeleteFileRequest(tenant=tenant, file_id=file_id)
        with domain_errors(PEER):
            return (await self._stub.DeleteFile(request, timeout=CALL_SECONDS)).sequence

    async def delete_dataset(self, *, tenant: str, dataset_id: str, requested_by: str) -> int:
        """Take a dataset out of use; gives the sequence of its end.

        Raises:
            NotFoundError: unknown, deleted, or another tenant's.
            PreconditionError: jobs that have not ended need it.
        """
        request = pb.DeleteDatasetRequest(
            tenant=tenant, dataset_id=dataset_id, requested_by=requested_by
        )
        with domain_errors(PEER):
            return (await self._stub.DeleteDataset(request, timeout=CALL_SECONDS)).sequence

    async def preview_dataset(
        self, spec: pb.DatasetSpec, *, tenant: str, rows: int
    ) -> pb.PreviewDatasetResponse:
        """What a spec would make of a file's first rows.

        Raises:
            NotFoundError: the file is unknown.
            InvalidInputError: the spec is wrong.
        """
        request = pb.PreviewDatasetRequest(tenant=tenant, spec=spec, rows=rows)
        with domain_errors(PEER):
            return await self._stub.PreviewDataset(request, timeout=CALL_SECONDS)

    async def explain_row(
        self, *, tenant: str, dataset_id: str, line: int, file_id: str
    ) -> Sequence[pb.RowProvenance]:
        """What became of a source row. Raises NotFoundError."""
        request = pb.ExplainRowRequest(
            tenant=tenant, dataset_id=dataset_id, line=line, file_id=file_id
        )
        with domain_errors(PEER):
            return (await self._stub.ExplainRow(request, timeout=DATASET_SECONDS)).provenance

    async def diff_datasets(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str, samples: int
    ) -> pb.DiffDatasetsResponse:
        """What two datasets do not have in common. Raises NotFoundError."""
        request = pb.DiffDatasetsRequest(
            tenant=tenant, dataset_id=dataset_id, other_dataset_id=other_dataset_id, samples=samples
        )
        with domain_errors(PEER):
            return await self._stub.DiffDatasets(request, timeout=COMPARISON_SECONDS)

    async def compare_datasets(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str
    ) -> pb.CompareDatasetsResponse:
        """Two datasets side by side.

        Raises:
            InvalidInputError: both are the same.
            NotFoundError: one of them is unknown.
        """
        request = pb.CompareDatasetsRequest(
            tenant=tenant, dataset_id=dataset_id, other_dataset_id=other_dataset_id
        )
        with domain_errors(PEER):
            return await self._stub.CompareDatasets(request, timeout=COMPARISON_SECONDS)

    async def list_unshared_rows(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str, after: int, limit: int
    ) -> pb.ListUnsharedRowsResponse:
        """Rows of a dataset that another does not have; raises as `compare_datasets`."""
        request = pb.ListUnsharedRowsRequest(
            tenant=tenant,
            dataset_id=dataset_id,
            other_dataset_id=other_dataset_id,
            after=after,
            limit=limit,
        )
        with domain_errors(PEER):
            return await self._stub.ListUnsharedRows(request, timeout=COMPARISON_SECONDS)

    def report(
        self, *, tenant: str, dataset_id: str, report_format: str, job_id: str
    ) -> AsyncIterator[bytes]:
        """The report's bytes as they come, of a failed dataset its job's.

        Raises NotFoundError on the first step.
        """
        request = pb.DownloadReportRequest(
            tenant=tenant, dataset_id=dataset_id, format=report_format, job_id=job_id
        )
        return downloaded(self._stub.DownloadReport, request, PEER)


async def downloaded(method: Any, request: Message, peer: str) -> AsyncGenerator[bytes]:
    """Chunks of a download as they come; leaving the generator ends the call."""
    rpc = method(request, timeout=TRANSFER_SECONDS)
    try:
        with domain_errors(peer):
            async for response in rpc:
                yield response.chunk
    finally:
        rpc.cancel()


async def _file_messages(chunks: AsyncIterator[bytes]) -> AsyncIterator[pb.UploadFileRequest]:
    async for chunk in chunks:
        yield pb.UploadFileRequest(chunk=chunk)
    yield pb.UploadFileRequest(end=pb.FileEnd())


async def _streamed(rpc: Any, header: Message, chunks: AsyncIterator[Message]) -> Any:
    """Send the header, then the chunks; raises what they raise."""
    failures: list[Exception] = []

    async def requests() -> AsyncIterator[Message]:
        yield header
        try:
            async for chunk in chunks:
                yield chunk
        except Exception as error:
            failures.append(error)
            raise

    try:
        with domain_errors(PEER):
            return await rpc(requests(), timeout=TRANSFER_SECONDS)
    except asyncio.CancelledError:
        # gRPC answers a failing request iterator by cancelling the call and swallowing why.
        if failures:
            raise failures[0] from None
        raise
