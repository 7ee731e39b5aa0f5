"""Files over gRPC: in and out in pieces, never whole in memory."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.purposes import PURPOSES, WRONG_PURPOSE
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.grpc.chunks import chunks_of, header_of
from modelmill_gateway.entrypoints.grpc.gate import Handlers
from modelmill_gateway.entrypoints.grpc.messages import page_request
from modelmill_gateway.entrypoints.http.files import Files


class DeletesFiles(Protocol):
    """See `modelmill_gateway.ordering.delete_file.DeleteFile`."""

    async def __call__(self, file_id: str, caller: Caller) -> None: ...


class FindsFiles(Protocol):
    """See `modelmill_gateway.ordering.find_file.FindFile`."""

    async def __call__(self, tenant: str, file_id: str) -> FileState: ...


class FileProcedures:
    """UploadFile, ListFiles, GetFile, DownloadFile and DeleteFile."""

    def __init__(
        self, files: Files, delete_file: DeletesFiles, find_file: FindsFiles, *, max_bytes: int
    ) -> None:
        self._files = files
        self._delete_file = delete_file
        self._find_file = find_file
        self._max_bytes = max_bytes

    def handlers(self) -> Handlers:
        """By the names of the service's descriptor."""
        return {
            "UploadFile": self._upload,
            "ListFiles": self._list,
            "GetFile": self._get,
            "DownloadFile": self._download,
            "DeleteFile": self._delete,
        }

    async def _upload(
        self, requests: AsyncIterator[pb.UploadFileRequest], call: RequestContext
    ) -> pb.UploadFileResponse:
        header = await header_of(requests)
        check_file_header(header)
        file = await self._files.upload(
            chunks_of(requests, self._max_bytes),
            tenant=call.caller.tenant,
            filename=header.filename,
            purpose=header.purpose,
        )
        return pb.UploadFileResponse(file=file)

    async def _list(
        self, request: pb.ListFilesRequest, call: RequestContext
    ) -> pb.ListFilesResponse:
        wanted = page_request(request.after, request.limit)
        files = list(await self._files.list(tenant=call.caller.tenant))
        page = page_of(files, wanted, lambda file: file.file_id)
        return pb.ListFilesResponse(files=page.items, has_more=page.has_more)

    async def _get(self, request: pb.GetFileRequest, call: RequestContext) -> pb.GetFileResponse:
        file = await self._find_file(call.caller.tenant, request.file_id)
        return pb.GetFileResponse(file=file)

    async def _download(
        self, request: pb.DownloadFileRequest, call: RequestContext
    ) -> AsyncGenerator[pb.DownloadFileResponse]:
        await self._find_file(call.caller.tenant, request.file_id)
        chunks = self._files.content(tenant=call.caller.tenant, file_id=request.file_id)
        async for chunk in chunks:
            yield pb.DownloadFileResponse(chunk=chunk)

    async def _delete(
        self, request: pb.DeleteFileRequest, call: RequestContext
    ) -> pb.DeleteFileResponse:
        await self._delete_file(request.file_id, call.caller)
        return pb.DeleteFileResponse()


def check_file_header(header: pb.FileHeader) -> None:
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
