"""Files: in and out in pieces, never whole in memory."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_service_kit.errors import InvalidInputError
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.errors import BadRequestError, unsupported
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.purposes import PURPOSES, WRONG_PURPOSE
from modelmill_gateway.entrypoints.bodies.whole_form import whole_form
from modelmill_gateway.entrypoints.http.downloads import download
from modelmill_gateway.entrypoints.http.multipart import MultipartUpload
from modelmill_gateway.entrypoints.http.requests import (
    Handlers,
    caller_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.views.file_views import file_view
from modelmill_gateway.entrypoints.views.pages import deleted_view, page_view
from modelmill_gateway.ordering.delete_file import DeleteFile
from modelmill_gateway.ordering.find_file import FindFile


class Files(Protocol):
    """Where files are kept; every call is for one tenant."""

    async def upload(
        self, chunks: AsyncIterator[bytes], *, tenant: str, filename: str, purpose: str
    ) -> FileState: ...
    async def list(self, *, tenant: str) -> Sequence[FileState]: ...
    def content(self, *, tenant: str, file_id: str) -> AsyncIterator[bytes]: ...


class FileRoutes:
    """/v1/files."""

    def __init__(self, files: Files, delete_file: DeleteFile, find_file: FindFile) -> None:
        self._files = files
        self._delete_file = delete_file
        self._find_file = find_file

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "upload_file": self._upload,
            "list_files": self._list,
            "get_file": self._get,
            "get_content": self._content,
            "delete_file": self._delete,
        }

    async def _upload(self, request: Request) -> Response:
        form = MultipartUpload(request.headers.get("content-type", ""), request.stream())
        await form.open()
        async with whole_form(form, "purpose") as (fields, chunks):
            if "purpose" not in fields:
                raise BadRequestError("purpose: must be given", param="purpose")
            if fields["purpose"] not in PURPOSES:
                raise BadRequestError(WRONG_PURPOSE, param="purpose")
            if any(name.startswith("expires_after") for name in fields):
                raise unsupported("expires_after")
            try:
                file = await self._files.upload(
                    chunks,
                    tenant=caller_of(request).tenant,
                    filename=form.filename,
                    purpose=fields["purpose"],
                )
            except InvalidInputError as error:
                # As OpenAI answers: a file that is not what it says is a bad request.
                raise BadRequestError(error.errors, param="file") from error
        return json_response(file_view(file))

    async def _list(self, request: Request) -> Response:
        purpose = request.query_params.get("purpose")
        found = await self._files.list(tenant=caller_of(request).tenant)
        files = [file for file in found if purpose in (None, file.purpose)]
        order = request.query_params.get("order", "desc")
        if order not in ("asc", "desc"):
            raise BadRequestError("order must be asc or desc", param="order")
        files = files[::-1] if order == "asc" else files
        page = page_of(files, page_request_of(request), lambda file: file.file_id)
        return json_response(page_view(page, file_view))

    async def _get(self, request: Request) -> Response:
        file = await self._find_file(caller_of(request).tenant, request.path_params["file_id"])
        return json_response(file_view(file))

    async def _delete(self, request: Request) -> Response:
        file_id = request.path_params["file_id"]
        await self._delete_file(file_id, caller_of(request))
        return json_response(deleted_view("file", file_id))

    async def _content(self, request: Request) -> Response:
        tenant, file_id = caller_of(request).tenant, request.path_params["file_id"]
        file = await self._find_file(tenant, file_id)
        chunks = self._files.content(tenant=tenant, file_id=file_id)
        return await download(chunks, file.filename, "application/octet-stream")
