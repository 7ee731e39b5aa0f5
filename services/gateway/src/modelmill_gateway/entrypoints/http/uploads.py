"""Files that come in parts, as OpenAI's clients send them."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import AddUploadPartResponse, Upload
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.purposes import Purpose
from modelmill_gateway.entrypoints.http.multipart import MultipartUpload
from modelmill_gateway.entrypoints.http.requests import Handlers, caller_of, json_response
from modelmill_gateway.entrypoints.schemas.parsing import StrictBody, read_body
from modelmill_gateway.entrypoints.views.file_views import upload_part_view, upload_view

MAX_PARTS = 4096


class UploadBody(StrictBody):
    """Request body of POST /v1/uploads."""

    filename: str = Field(max_length=255)
    purpose: Purpose
    bytes: int = Field(gt=0, lt=2**63)
    mime_type: str = Field(
        "", max_length=255, description="Ignored; the file is typed by its content."
    )


class CompleteUploadBody(StrictBody):
    """Request body of POST /v1/uploads/{upload_id}/complete."""

    part_ids: list[Annotated[str, Field(max_length=128)]] = Field(max_length=MAX_PARTS)
    md5: str = Field("", max_length=32, description="MD5 of the whole file, as hex.")


class Uploads(Protocol):
    """Where files that come in parts are kept; every call is for one tenant."""

    async def create_upload(
        self, *, tenant: str, filename: str, purpose: str, size_bytes: int
    ) -> Upload: ...
    async def add_upload_part(
        self, chunks: AsyncIterator[bytes], *, tenant: str, upload_id: str
    ) -> AddUploadPartResponse: ...
    async def complete_upload(
        self, *, tenant: str, upload_id: str, part_ids: Sequence[str], md5: str
    ) -> Upload: ...
    async def cancel_upload(self, *, tenant: str, upload_id: str) -> Upload: ...


class UploadRoutes:
    """/v1/uploads."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "begin_upload": self._post,
            "add_upload_part": self._add_part,
            "complete_upload": self._complete,
            "cancel_upload": self._cancel,
        }

    async def _post(self, request: Request) -> Response:
        body = await read_body(request, UploadBody)
        upload = await self._uploads.create_upload(
            tenant=caller_of(request).tenant,
            filename=body.filename,
            purpose=body.purpose,
            size_bytes=body.bytes,
        )
        return json_response(upload_view(upload))

    async def _add_part(self, request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        form = MultipartUpload(content_type, request.stream(), file_field="data")
        await form.open()
        upload_id = request.path_params["upload_id"]
        part = await self._uploads.add_upload_part(
            form.chunks(), tenant=caller_of(request).tenant, upload_id=upload_id
        )
        return json_response(upload_part_view(part, upload_id))

    async def _complete(self, request: Request) -> Response:
        body = await read_body(request, CompleteUploadBody)
        upload = await self._uploads.complete_upload(
            tenant=caller_of(request).tenant,
            upload_id=request.path_params["upload_id"],
            part_ids=body.part_ids,
            md5=body.md5,
        )
        return json_response(upload_view(upload))

    async def _cancel(self, request: Request) -> Response:
        upload = await self._uploads.cancel_upload(
            tenant=caller_of(request).tenant, upload_id=request.path_params["upload_id"]
        )
        return json_response(upload_view(upload))
