"""Uploads in parts: what they are, and where they wait to become files."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import Upload
from modelmill_service_kit.errors import NotFoundError

MAX_PART_BYTES = 64 * 1024 * 1024
MAX_PARTS = 4_096
"""Of one upload; more would be a burden on the folder."""

UPLOAD_SECONDS = 3_600
"""An upload that is not complete by then is gone."""

PENDING, COMPLETED, CANCELLED, EXPIRED = "pending", "completed", "cancelled", "expired"


class IncomingPart(Protocol):
    """A part while its bytes are coming in."""

    part_id: str

    async def write(self, chunk: bytes) -> None: ...

    async def keep(self) -> None:
        """Make it a part of the upload, durably.

        Raises:
            NotFoundError: The upload's parts are gone.
        """
        ...


class UploadShelf(Protocol):
    """Keeps uploads and their parts over restarts."""

    async def put(self, upload: Upload) -> None:
        """Keep the record as it is now; durable on return."""
        ...

    async def get(self, upload_id: str) -> Upload | None:
        """The record; None for an id that was never given out, or long ago."""
        ...

    async def pending(self) -> Sequence[Upload]:
        """Uploads that may still be completed; what is over for long is swept."""
        ...

    def open_part(self, upload_id: str) -> AbstractAsyncContextManager[IncomingPart]:
        """A new part, which is gone at the end of the block unless it was kept."""
        ...

    async def parts(self, upload_id: str) -> Mapping[str, int]:
        """Sizes of the parts kept, by id."""
        ...

    def read(self, upload_id: str, part_ids: Sequence[str]) -> AsyncIterator[bytes]:
        """The bytes of these parts one after the other, at most 1 MiB at a time."""
        ...

    async def drop_parts(self, upload_id: str) -> None:
        """Remove all parts."""
        ...


BEGIN_ANOTHER = "POST /v1/uploads begins another"
"""Nothing lists uploads."""


def unknown_upload(upload_id: str) -> NotFoundError:
    """What is said of an upload that there is not, or that nobody knows any more."""
    return NotFoundError(f"no upload {upload_id[:80]!r}. {BEGIN_ANOTHER}")


def unknown_part(part_id: str) -> str:
    """The same of a part."""
    return f"no part {part_id[:80]!r}. POST /v1/uploads/ID/parts stores one and names it"


def status_at(upload: Upload, now: float) -> str:
    """The upload's status at this time, in Unix seconds."""
    return EXPIRED if upload.status == PENDING and now >= upload.expires_at else upload.status


async def own_upload(shelf: UploadShelf, tenant: str, upload_id: str) -> Upload:
    """An upload of the tenant's own.

    Raises:
        NotFoundError: There is none of this id.
    """
    upload = await shelf.get(upload_id)
    if upload is None or upload.header.tenant != tenant:
        raise unknown_upload(upload_id)
    return upload


async def pending_upload(shelf: UploadShelf, tenant: str, upload_id: str, now: float) -> Upload:
    """An upload of the tenant's own that may still be completed.

    Raises:
        NotFoundError: There is none of this id, or it is over.
    """
    upload = await own_upload(shelf, tenant, upload_id)
    status = status_at(upload, now)
    if status != PENDING:
        raise NotFoundError(f"upload {upload_id!r} is {status}. {BEGIN_ANOTHER}")
    return upload
