"""Multipart uploads: limits, storage interface and lookups."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import Upload
from modelmill_service_kit.errors import NotFoundError

MAX_PART_BYTES = 64 * 1024 * 1024
MAX_PARTS = 4_096
"""Limit per upload; more files would slow the folder down."""

UPLOAD_SECONDS = 3_600
"""Lifetime of an incomplete upload."""

PENDING, COMPLETED, CANCELLED, EXPIRED = "pending", "completed", "cancelled", "expired"


class IncomingPart(Protocol):
    """A part in transfer."""

    part_id: str

    async def write(self, chunk: bytes) -> None: ...

    async def commit(self) -> None:
        """Move the part durably into the upload.

        Raises:
            NotFoundError: The upload was completed, cancelled or expired.
        """
        ...


class UploadStore(Protocol):
    """Durable storage of uploads and their parts."""

    async def put(self, upload: Upload) -> None:
        """Write the record; durable on return."""
        ...

    async def get(self, upload_id: str) -> Upload | None:
        """The record; None for an unknown or long expired id."""
        ...

    async def pending(self) -> Sequence[Upload]:
        """Uploads that can still be completed; removes old ones."""
        ...

    def open_part(self, upload_id: str) -> AbstractAsyncContextManager[IncomingPart]:
        """A new part, deleted at the end of the block unless committed."""
        ...

    async def parts(self, upload_id: str) -> Mapping[str, int]:
        """Sizes of committed parts, by id."""
        ...

    def read(self, upload_id: str, part_ids: Sequence[str]) -> AsyncIterator[bytes]:
        """The concatenated bytes of parts, in chunks of at most 1 MiB."""
        ...

    async def drop_parts(self, upload_id: str) -> None:
        """Remove all parts."""
        ...


BEGIN_ANOTHER = "POST /v1/uploads begins another"
"""Remedy for an unknown upload, as there is no route that lists uploads."""


def unknown_upload(upload_id: str) -> NotFoundError:
    """Error for an unknown or expired upload."""
    return NotFoundError(f"no upload {upload_id[:80]!r}. {BEGIN_ANOTHER}")


def unknown_part(part_id: str) -> str:
    """Error message for an unknown part."""
    return f"no part {part_id[:80]!r}. POST /v1/uploads/ID/parts stores one and names it"


def status_at(upload: Upload, now: float) -> str:
    """The upload's status at `now`, in Unix seconds."""
    return EXPIRED if upload.status == PENDING and now >= upload.expires_at else upload.status


async def own_upload(uploads: UploadStore, tenant: str, upload_id: str) -> Upload:
    """Look up a tenant's upload.

    Raises:
        NotFoundError: The tenant has no upload of this id.
    """
    upload = await uploads.get(upload_id)
    if upload is None or upload.header.tenant != tenant:
        raise unknown_upload(upload_id)
    return upload


async def pending_upload(uploads: UploadStore, tenant: str, upload_id: str, now: float) -> Upload:
    """Look up a tenant's upload that can still be completed.

    Raises:
        NotFoundError: The upload is unknown, completed, cancelled or expired.
    """
    upload = await own_upload(uploads, tenant, upload_id)
    status = status_at(upload, now)
    if status != PENDING:
        raise NotFoundError(f"upload {upload_id!r} is {status}. {BEGIN_ANOTHER}")
    return upload
