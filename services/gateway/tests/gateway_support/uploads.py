"""Uploads in parts and previews behind the gateway, in memory."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1.data_prep_service_pb2_grpc import DataPrepServiceServicer
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_service_kit.errors import (
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
)

FULL = UnavailableError("too many are coming in", retry_after_seconds=5).because("OVERLOADED")
BEGAN = 1_750_000_000
READING = pb.ReadingSpec(encoding="big5", delimiter=";")


@dataclass
class OpenUpload:
    """An upload and its parts by id."""

    record: pb.Upload
    parts: dict[str, bytes] = field(default_factory=dict)


class FakeUploads(DataPrepServiceServicer):
    """Mixed into the fake of data-prep, which knows what becomes of the bytes."""

    def __init__(self) -> None:
        self._uploads: dict[str, OpenUpload] = {}
        self._upload_numbers = itertools.count()
        self.busy = False
        """No room for bytes, whoever's they are."""
        self.most_open: int | None = None
        """Uploads of one tenant, which these tests have just one of."""
        self.shown_row = '{"messages": []}'
        """The first row of every preview."""
        self.previewed: list[pb.PreviewDatasetRequest] = []

    def keep_file(self, header: pb.UploadHeader, content: bytes) -> FileState:
        """Store the bytes as a file."""
        raise NotImplementedError

    def owner_of(self, file_id: str) -> str | None:
        """Whose file it is, as far as that is known."""
        raise NotImplementedError

    async def CreateUpload(
        self, request: pb.CreateUploadRequest, context: Any
    ) -> pb.CreateUploadResponse:
        if not request.header.filename.endswith(".jsonl"):
            raise InvalidInputError("filename must end in .jsonl")
        if self.most_open is not None and len(self._uploads) >= self.most_open:
            raise OverloadedError("too many are open", retry_after_seconds=60)
        upload = pb.Upload(
            upload_id=f"upload_{next(self._upload_numbers)}",
            header=request.header,
            size_bytes=request.size_bytes,
            status="pending",
            created_at=BEGAN,
            expires_at=BEGAN + 3600,
        )
        self._uploads[upload.upload_id] = OpenUpload(upload)
        return pb.CreateUploadResponse(upload=upload)

    async def AddUploadPart(
        self, requests: AsyncIterator[pb.AddUploadPartRequest], context: Any
    ) -> pb.AddUploadPartResponse:
        if self.busy:
            raise FULL
        header = (await anext(aiter(requests))).header
        upload = self._pending(header.tenant, header.upload_id)
        content = b"".join([request.chunk async for request in requests])
        if not content:
            raise InvalidInputError("the part is empty")
        part_id = f"part_{len(upload.parts)}"
        upload.parts[part_id] = content
        return pb.AddUploadPartResponse(part_id=part_id, created_at=BEGAN + 1)

    async def CompleteUpload(
        self, request: pb.CompleteUploadRequest, context: Any
    ) -> pb.CompleteUploadResponse:
        upload = self._pending(request.tenant, request.upload_id)
        unknown = [part for part in request.part_ids if part not in upload.parts]
        if unknown:
            raise InvalidInputError([f"no part {part!r}" for part in unknown])
        content = b"".join(upload.parts[part] for part in request.part_ids)
        upload.record.file.CopyFrom(self.keep_file(upload.record.header, content))
        upload.record.status = "completed"
        return pb.CompleteUploadResponse(upload=upload.record)

    async def CancelUpload(
        self, request: pb.CancelUploadRequest, context: Any
    ) -> pb.CancelUploadResponse:
        upload = self._pending(request.tenant, request.upload_id)
        upload.record.status = "cancelled"
        return pb.CancelUploadResponse(upload=upload.record)

    async def PreviewDataset(
        self, request: pb.PreviewDatasetRequest, context: Any
    ) -> pb.PreviewDatasetResponse:
        owner = self.owner_of(request.spec.file_id) or request.tenant
        if request.spec.file_id == "file-nobody" or owner != request.tenant:
            raise NotFoundError(f"no file {request.spec.file_id!r}")
        self.previewed.append(request)
        rows = [
            pb.PreviewedRow(line=1, row_json=self.shown_row, changes=["spaces@1"]),
            pb.PreviewedRow(line=3, reason="read.not_json: not JSON"),
        ]
        mapping = request.spec.mapping
        if not request.spec.HasField("mapping"):
            mapping = pb.RowMapping(user_template="{word}", answer_template="{kind}")
        return pb.PreviewDatasetResponse(
            rows=rows, columns=["word", "kind"], reading=READING, mapping=mapping
        )

    def _pending(self, tenant: str, upload_id: str) -> OpenUpload:
        upload = self._uploads.get(upload_id)
        if (
            upload is None
            or upload.record.header.tenant != tenant
            or upload.record.status != "pending"
        ):
            raise NotFoundError(f"no upload {upload_id!r}")
        return upload
