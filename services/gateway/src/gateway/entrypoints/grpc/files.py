"""Files over gRPC: in and out in pieces, never whole in memory."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from modelmill.gateway.v1 import gateway_service_pb2 as pb
from service_kit.errors import InvalidInputError, TooLargeError

from gateway.domain.access import Caller
from gateway.domain.pages import page_of
from gateway.entrypoints.grpc.gate import Call, Handlers
from gateway.entrypoints.grpc.messages import page_request
from gateway.entrypoints.http_files import Files

MAX_CHUNK_BYTES = 1024 * 1024


class DeletesFiles(Protocol):
    """See `gateway.delete_file.DeleteFile`."""

    async def __call__(self, file_id: str, caller: Caller) -> None: ...


class FileProcedures:
    """UploadFile, ListFiles, GetFile, DownloadFile and DeleteFile."""

    def __init__(self, files: Files, delete_file: DeletesFiles, *, max_bytes: int) -> None:
        self._files = files
        self._delete_file = delete_file
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
        self, requests: AsyncIterator[pb.UploadFileRequest], call: Call
    ) -> pb.UploadFileResponse:
        header = await _header(requests)
        file = await self._files.upload(
            self._chunks(requests),
            tenant=call.caller.tenant,
            filename=header.filename,
            purpose=header.purpose,
        )
        return pb.UploadFileResponse(file=file)

    async def _chunks(self, requests: AsyncIterator[pb.UploadFileRequest]) -> AsyncIterator[bytes]:
        """The file's bytes as they come; the next message is read once this one is passed on."""
        seen = 0
        async for request in requests:
            if request.WhichOneof("part") != "chunk":
                raise InvalidInputError("every message after the first must carry a chunk")
            if len(request.chunk) > MAX_CHUNK_BYTES:
                raise InvalidInputError(f"chunk: must be at most {MAX_CHUNK_BYTES} bytes")
            seen += len(request.chunk)
            if seen > self._max_bytes:
                raise TooLargeError(f"the file is larger than {self._max_bytes} bytes")
            yield request.chunk

    async def _list(self, request: pb.ListFilesRequest, call: Call) -> pb.ListFilesResponse:
        wanted = page_request(request.after, request.limit)
        files = list(await self._files.list(tenant=call.caller.tenant))
        page = page_of(files, wanted, lambda file: file.file_id)
        return pb.ListFilesResponse(files=page.items, has_more=page.has_more)

    async def _get(self, request: pb.GetFileRequest, call: Call) -> pb.GetFileResponse:
        file = await self._files.get(tenant=call.caller.tenant, file_id=request.file_id)
        return pb.GetFileResponse(file=file)

    async def _download(
        self, request: pb.DownloadFileRequest, call: Call
    ) -> AsyncGenerator[pb.DownloadFileResponse]:
        chunks = self._files.content(tenant=call.caller.tenant, file_id=request.file_id)
        async for chunk in chunks:
            yield pb.DownloadFileResponse(chunk=chunk)

    async def _delete(self, request: pb.DeleteFileRequest, call: Call) -> pb.DeleteFileResponse:
        await self._delete_file(request.file_id, call.caller)
        return pb.DeleteFileResponse()


async def _header(requests: AsyncIterator[pb.UploadFileRequest]) -> pb.FileHeader:
    """What the first message says of the file.

    Raises:
        InvalidInputError: it says nothing, or not enough.
    """
    first = await anext(aiter(requests), None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidInputError("the first message must carry the header")
    fields = (("filename", first.header.filename), ("purpose", first.header.purpose))
    missing = [f"header.{name}: must be given" for name, value in fields if not value]
    if missing:
        raise InvalidInputError(missing)
    return first.header
