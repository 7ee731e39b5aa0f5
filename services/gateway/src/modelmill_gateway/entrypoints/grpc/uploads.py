"""DataPrep in parts over gRPC, each part passed on piece by piece."""

from collections.abc import AsyncIterator

from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.grpc.chunks import chunks_of, header_of
from modelmill_gateway.entrypoints.grpc.files import check_file_header
from modelmill_gateway.entrypoints.schemas.files import MAX_PARTS
from modelmill_gateway.ports import DataPrep


class UploadProcedures:
    """CreateUpload, AddUploadPart, CompleteUpload and CancelUpload.

    Args:
        max_bytes: of a part; whoever keeps the parts may allow less.
    """

    def __init__(self, uploads: DataPrep, *, max_bytes: int) -> None:
        self._uploads = uploads
        self._max_bytes = max_bytes

    async def CreateUpload(
        self, request: pb.CreateUploadRequest, call: RequestContext
    ) -> pb.CreateUploadResponse:
        check_file_header(request.header)
        upload = await self._uploads.create_upload(
            tenant=call.caller.tenant,
            filename=request.header.filename,
            purpose=request.header.purpose,
            size_bytes=request.size_bytes,
        )
        return pb.CreateUploadResponse(upload=upload)

    async def AddUploadPart(
        self, requests: AsyncIterator[pb.AddUploadPartRequest], call: RequestContext
    ) -> pb.AddUploadPartResponse:
        header = await header_of(requests)
        part = await self._uploads.add_upload_part(
            chunks_of(requests, self._max_bytes),
            tenant=call.caller.tenant,
            upload_id=header.upload_id,
        )
        return pb.AddUploadPartResponse(part_id=part.part_id, created_at=part.created_at)

    async def CompleteUpload(
        self, request: pb.CompleteUploadRequest, call: RequestContext
    ) -> pb.CompleteUploadResponse:
        if len(request.part_ids) > MAX_PARTS:
            raise InvalidInputError(f"part_ids: must be at most {MAX_PARTS}")
        upload = await self._uploads.complete_upload(
            tenant=call.caller.tenant,
            upload_id=request.upload_id,
            part_ids=request.part_ids,
            md5=request.md5,
        )
        return pb.CompleteUploadResponse(upload=upload)

    async def CancelUpload(
        self, request: pb.CancelUploadRequest, call: RequestContext
    ) -> pb.CancelUploadResponse:
        upload = await self._uploads.cancel_upload(
            tenant=call.caller.tenant, upload_id=request.upload_id
        )
        return pb.CancelUploadResponse(upload=upload)
