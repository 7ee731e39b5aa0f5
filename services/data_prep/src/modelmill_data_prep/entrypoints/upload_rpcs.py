"""RPCs of multipart uploads: unpack, call the use case, pack."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1 import data_prep_service_pb2_grpc as pb_grpc
from modelmill_bus.subjects import token
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.complete_upload import CompleteUpload
from modelmill_data_prep.receive_upload import AddUploadPart, CancelUpload, CreateUpload

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class UploadUseCases:
    """Use cases of multipart uploads."""

    create: CreateUpload
    add_part: AddUploadPart
    complete: CompleteUpload
    cancel: CancelUpload


class UploadRpcs(pb_grpc.DataPrepServiceServicer):
    """Mix-in with RPCs of multipart uploads; the subclass sets `_uploads`."""

    _uploads: UploadUseCases

    async def CreateUpload(
        self, request: pb.CreateUploadRequest, context: Context
    ) -> pb.CreateUploadResponse:
        token(request.header.tenant, "tenant")
        upload = await self._uploads.create(header=request.header, size_bytes=request.size_bytes)
        return pb.CreateUploadResponse(upload=upload)

    async def AddUploadPart(
        self, request_iterator: AsyncIterator[pb.AddUploadPartRequest], context: Context
    ) -> pb.AddUploadPartResponse:
        first = await anext(aiter(request_iterator), pb.AddUploadPartRequest())
        if first.WhichOneof("part") != "header":
            raise InvalidInputError("the first message must carry the header")
        part = await self._uploads.add_part(
            tenant=token(first.header.tenant, "tenant"),
            upload_id=first.header.upload_id,
            chunks=_chunks(request_iterator),
        )
        return pb.AddUploadPartResponse(part_id=part.part_id, created_at=part.created_at)

    async def CompleteUpload(
        self, request: pb.CompleteUploadRequest, context: Context
    ) -> pb.CompleteUploadResponse:
        upload = await self._uploads.complete(
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
        upload = await self._uploads.cancel(tenant=tenant, upload_id=request.upload_id)
        return pb.CancelUploadResponse(upload=upload)


async def _chunks(requests: AsyncIterator[pb.AddUploadPartRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise InvalidInputError("every message after the first must carry a chunk")
        yield request.chunk
