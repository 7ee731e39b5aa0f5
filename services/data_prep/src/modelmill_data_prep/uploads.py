"""Multipart uploads on disk, without state in memory, so that processes can share the folder.

<upload id>/record.json      record, replaced atomically
<upload id>/parts/<part id>  complete parts
<upload id>/incoming/...     parts in transfer
"""

import asyncio
import os
import re
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from google.protobuf.json_format import MessageToJson, Parse
from modelmill.data_prep.v1.data_prep_service_pb2 import Upload
from modelmill_registry.blobs import make_folder, publish, write_durably
from modelmill_service_kit.errors import NotFoundError, UnavailableError


class NoCapacityError(UnavailableError):
    """The process-wide limit is reached; a tenant's own limit is OverloadedError."""

    reason = "OVERLOADED"


MAX_PART_BYTES = 64 * 1024 * 1024
MAX_PARTS = 4_096
"""Limit per upload; more files would slow the folder down."""

UPLOAD_SECONDS = 3_600
"""Lifetime of an incomplete upload."""

PENDING, COMPLETED, CANCELLED, EXPIRED = "pending", "completed", "cancelled", "expired"


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


_UPLOAD_ID = re.compile(r"upload_[0-9a-f]{32}")
_PART_ID = re.compile(r"part_[0-9a-f]{32}")
_READ_BYTES = 1024 * 1024

KEPT_SECONDS = 24 * 3600
"""How long a finished upload stays known, for retries."""


class IncomingPart:
    """A part in transfer."""

    def __init__(self, part_id: str, file: BinaryIO, path: Path, final: Path) -> None:
        self.part_id = part_id
        self._file = file
        self._path = path
        self._final = final

    async def write(self, chunk: bytes) -> None:
        """Append."""
        await asyncio.to_thread(self._file.write, chunk)

    async def commit(self) -> None:
        """Move the part durably into the upload.

        Raises:
            NotFoundError: The upload was completed, cancelled or expired.
        """
        await asyncio.to_thread(self._commit)

    def _commit(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        try:
            publish(self._path, self._final)
        except FileNotFoundError:
            raise NotFoundError(f"the upload is over. {BEGIN_ANOTHER}") from None


class UploadFolder:
    """Durable storage of uploads and their parts.

    Args:
        now: The time in Unix seconds.
    """

    def __init__(self, root: Path, *, now: Callable[[], float] = time.time) -> None:
        self._root = root
        self._now = now
        make_folder(root)

    async def put(self, upload: Upload) -> None:
        """Write the record; durable on return."""
        await asyncio.to_thread(self._put, upload)

    async def get(self, upload_id: str) -> Upload | None:
        """The record; None for an unknown or long expired id."""
        if not _UPLOAD_ID.fullmatch(upload_id):
            return None
        return await asyncio.to_thread(_record_in, self._root / upload_id)

    async def pending(self) -> list[Upload]:
        """Uploads that can still be completed; removes old ones."""
        return await asyncio.to_thread(self._pending)

    @asynccontextmanager
    async def open_part(self, upload_id: str) -> AsyncIterator[IncomingPart]:
        """A new part, deleted at the end of the block unless committed.

        Raises:
            NotFoundError: The upload was completed, cancelled or expired.
        """
        part_id = f"part_{uuid.uuid4().hex}"
        path = self._folder(upload_id) / "incoming" / part_id
        try:
            file = path.open("xb")
        except FileNotFoundError:
            raise NotFoundError(f"the upload is over. {BEGIN_ANOTHER}") from None
        try:
            with file:
                yield IncomingPart(part_id, file, path, self._folder(upload_id) / "parts" / part_id)
        finally:
            path.unlink(missing_ok=True)

    async def parts(self, upload_id: str) -> dict[str, int]:
        """Sizes of committed parts, by id."""
        return await asyncio.to_thread(lambda: dict(_sizes(self._folder(upload_id) / "parts")))

    async def read(self, upload_id: str, part_ids: Sequence[str]) -> AsyncIterator[bytes]:
        """The concatenated bytes of parts, in chunks of at most 1 MiB."""
        for part_id in part_ids:
            if not _PART_ID.fullmatch(part_id):
                raise NotFoundError(unknown_part(part_id))
            with (self._folder(upload_id) / "parts" / part_id).open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, _READ_BYTES):
                    yield chunk

    async def count(self, tenant: str) -> dict[str, int]:
        """How many uploads of the tenant's are known, finished ones too."""
        return {"uploads": len(await asyncio.to_thread(self._folders_of, tenant))}

    async def erase(self, tenant: str) -> None:
        """Remove all uploads of the tenant's with what they hold."""
        for folder in await asyncio.to_thread(self._folders_of, tenant):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def drop_parts(self, upload_id: str) -> None:
        """Remove all parts."""
        await asyncio.to_thread(self._drop_parts, self._folder(upload_id))

    def _folders_of(self, tenant: str) -> list[Path]:
        folders = ((folder, _record_in(folder)) for folder in self._root.iterdir())
        return [it for it, upload in folders if upload and upload.header.tenant == tenant]

    def _folder(self, upload_id: str) -> Path:
        if not _UPLOAD_ID.fullmatch(upload_id):
            raise unknown_upload(upload_id)
        return self._root / upload_id

    def _put(self, upload: Upload) -> None:
        folder = self._folder(upload.upload_id)
        make_folder(folder)
        if upload.status == PENDING:
            make_folder(folder / "parts")
            make_folder(folder / "incoming")
        record = MessageToJson(upload, preserving_proto_field_name=True).encode()
        write_durably(folder / f"record.{uuid.uuid4().hex}", folder / "record.json", record)

    def _pending(self) -> list[Upload]:
        now, found = self._now(), []
        for folder in sorted(self._root.iterdir()):
            upload = _record_in(folder)
            if upload is None or now >= upload.expires_at + KEPT_SECONDS:
                # Without a record, creation is in progress or was interrupted by a crash.
                if upload is not None or now >= folder.stat().st_mtime + KEPT_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
            elif status_at(upload, now) == PENDING:
                found.append(upload)
            else:
                self._drop_parts(folder)
        return found

    @staticmethod
    def _drop_parts(folder: Path) -> None:
        shutil.rmtree(folder / "parts", ignore_errors=True)
        shutil.rmtree(folder / "incoming", ignore_errors=True)


def _record_in(folder: Path) -> Upload | None:
    try:
        return Parse((folder / "record.json").read_text("utf-8"), Upload())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    try:
        for part in sorted(folder.iterdir()):
            if _PART_ID.fullmatch(part.name):
                yield part.name, part.stat().st_size
    except FileNotFoundError:
        return


async def own_upload(uploads: UploadFolder, tenant: str, upload_id: str) -> Upload:
    """Look up a tenant's upload.

    Raises:
        NotFoundError: The tenant has no upload of this id.
    """
    upload = await uploads.get(upload_id)
    if upload is None or upload.header.tenant != tenant:
        raise unknown_upload(upload_id)
    return upload


async def pending_upload(uploads: UploadFolder, tenant: str, upload_id: str, now: float) -> Upload:
    """Look up a tenant's upload that can still be completed.

    Raises:
        NotFoundError: The upload is unknown, completed, cancelled or expired.
    """
    upload = await own_upload(uploads, tenant, upload_id)
    status = status_at(upload, now)
    if status != PENDING:
        raise NotFoundError(f"upload {upload_id!r} is {status}. {BEGIN_ANOTHER}")
    return upload
