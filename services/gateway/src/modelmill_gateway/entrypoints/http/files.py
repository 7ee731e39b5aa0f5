"""Files: in and out in pieces, never whole in memory; and uploads in parts."""

from collections.abc import AsyncIterator, Mapping

from modelmill_service_kit.errors import InvalidInputError
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.http.multipart import MultipartUpload, whole_form
from modelmill_gateway.entrypoints.http.requests import caller_of, download, page
from modelmill_gateway.entrypoints.schemas.base import Deleted, Page
from modelmill_gateway.entrypoints.schemas.files import (
    PURPOSES,
    WRONG_PURPOSE,
    CompleteUploadBody,
    File,
    Upload,
    UploadBody,
    UploadPart,
    expiry_of,
    refuse_late_expiry,
)
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.entrypoints.schemas.queries import FileQuery
from modelmill_gateway.ordering.find_file import FindFile
from modelmill_gateway.ports import DataPrep


class FileRoutes:
    """/v1/files and /v1/uploads."""

    def __init__(self, files: DataPrep, find_file: FindFile) -> None:
        self._files = files
        self._find_file = find_file

    async def upload_file(self, request: Request) -> File:
        form = MultipartUpload(request.headers.get("content-type", ""), request.stream())
        await form.open()
        async with whole_form(form, "purpose") as (fields, chunks):
            if "purpose" not in fields:
                raise BadRequestError("purpose: must be given", param="purpose")
            if fields["purpose"] not in PURPOSES:
                raise BadRequestError(WRONG_PURPOSE, param="purpose")
            seconds = expiry_of(fields)
            try:
                file = await self._files.upload(
                    _without_late_expiry(chunks, form, fields),
                    tenant=caller_of(request).tenant,
                    filename=form.filename,
                    purpose=fields["purpose"],
                    expires_after_seconds=seconds,
                )
            except BadRequestError:
                raise
            except InvalidInputError as error:
                # As OpenAI answers: a file that is not what it says is a bad request.
                raise BadRequestError(error.errors, param="file") from error
        return File.of(file)

    async def list_files(self, request: Request) -> Page[File]:
        query = FileQuery.of(request.query_params)
        found = await self._files.list(tenant=caller_of(request).tenant)
        files = [file for file in found if query.purpose in (None, file.purpose)]
        files = files[::-1] if query.order == "asc" else files
        return page(request, files, File.of, lambda file: file.file_id)

    async def get_file(self, request: Request) -> File:
        tenant, file_id = caller_of(request).tenant, request.path_params["file_id"]
        return File.of(await self._find_file(tenant, file_id))

    async def delete_file(self, request: Request) -> Deleted:
        file_id = request.path_params["file_id"]
        await self._files.delete_file(tenant=caller_of(request).tenant, file_id=file_id)
        return Deleted(id=file_id, object="file")

    async def get_content(self, request: Request) -> Response:
        tenant, file_id = caller_of(request).tenant, request.path_params["file_id"]
        file = await self._find_file(tenant, file_id)
        chunks = self._files.content(tenant=tenant, file_id=file_id)
        return await download(chunks, file.filename, "application/octet-stream")

    async def begin_upload(self, request: Request) -> Upload:
        body = await read_body(request, UploadBody)
        upload = await self._files.create_upload(
            tenant=caller_of(request).tenant,
            filename=body.filename,
            purpose=body.purpose,
            size_bytes=body.bytes,
            expires_after_seconds=body.expires_after.seconds if body.expires_after else 0,
        )
        return Upload.of_upload(upload)

    async def add_upload_part(self, request: Request) -> UploadPart:
        content_type = request.headers.get("content-type", "")
        form = MultipartUpload(content_type, request.stream(), file_field="data")
        await form.open()
        upload_id = request.path_params["upload_id"]
        part = await self._files.add_upload_part(
            form.chunks(), tenant=caller_of(request).tenant, upload_id=upload_id
        )
        return UploadPart.of(part, upload_id=upload_id)

    async def complete_upload(self, request: Request) -> Upload:
        body = await read_body(request, CompleteUploadBody)
        upload = await self._files.complete_upload(
            tenant=caller_of(request).tenant,
            upload_id=request.path_params["upload_id"],
            part_ids=body.part_ids,
            md5=body.md5,
        )
        return Upload.of_upload(upload)

    async def cancel_upload(self, request: Request) -> Upload:
        upload = await self._files.cancel_upload(
            tenant=caller_of(request).tenant, upload_id=request.path_params["upload_id"]
        )
        return Upload.of_upload(upload)


async def _without_late_expiry(
    chunks: AsyncIterator[bytes], form: MultipartUpload, known: Mapping[str, str]
) -> AsyncIterator[bytes]:
    """The file's bytes, which end with a refusal where an expiry stands behind them."""
    async for chunk in chunks:
        yield chunk
    refuse_late_expiry({name: it for name, it in form.later_fields.items() if name not in known})
