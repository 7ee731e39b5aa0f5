"""Files over gRPC: in and out in pieces, never whole in memory."""

from collections.abc import AsyncGenerator, AsyncIterator

from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.purposes import PURPOSES, WRONG_PURPOSE
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.grpc.chunks import chunks_of, header_of
from modelmill_gateway.entrypoints.grpc.messages import page_request
from modelmill_gateway.ordering.delete_file import DeleteFile
from modelmill_gateway.ordering.find_file import FindFile
from modelmill_gateway.ports import DataPrep


class FileProcedures:
    """UploadFile, ListFiles, GetFile, DownloadFile and DeleteFile."""

    def __init__(
        self, files: DataPrep, delete_file: DeleteFile, find_file: FindFile, *, max_bytes: int
    ) -> None:
        self._files = files
        self._delete_file = delete_file
        self._find_file = find_file
        self._max_bytes = max_bytes

    async def UploadFile(
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
