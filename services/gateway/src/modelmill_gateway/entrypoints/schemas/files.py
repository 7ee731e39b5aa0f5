"""Files, and uploads of files in parts."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from modelmill.data_prep.v1.data_prep_service_pb2 import Upload as UploadMessage
from pydantic import Field

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.schemas.base import (
    Digest,
    FileId,
    OrNull,
    ResponseModel,
    UnixSeconds,
)
from modelmill_gateway.entrypoints.schemas.parsing import StrictBody

Purpose = Literal["fine-tune", "batch", "evals", "user_data"]

PURPOSES = frozenset(get_args(Purpose))
WRONG_PURPOSE = f"purpose: must be one of {', '.join(get_args(Purpose))}"


EXPIRY = "expires_after"
SECONDS = f"{EXPIRY}[seconds]"
WRONG_EXPIRY = (
    "expires_after: give expires_after[anchor]=created_at and expires_after[seconds], from 3600 to"
    " 315360000"
)
MAX_PARTS = 4096
Filename = Annotated[str, Field(examples=["rows.jsonl"])]
PurposeName = Annotated[str, Field(examples=["fine-tune"])]
UploadId = Annotated[str, Field(examples=["upload_5d0a"])]
PART_ID = "part_c81f"
BYTES = 20480


class ExpiresAfter(StrictBody):
    """After what time a file is deleted by itself."""

    anchor: Literal["created_at"] = Field(description="Since when: since the file is stored.")
    seconds: int = Field(
        ge=3600, le=10 * 365 * 86400, description="From an hour to ten years.", examples=[2592000]
    )


def expiry_of(fields: Mapping[str, str]) -> int:
    """Seconds that a form says a file is kept; 0 where it says nothing.

    Raises:
        BadRequestError: it says something else.
    """
    said = {name: value for name, value in fields.items() if name.startswith(EXPIRY)}
    if not said:
        return 0
    try:
        given = {"anchor": said.pop(f"{EXPIRY}[anchor]"), "seconds": int(said.pop(SECONDS))}
        if said:
            raise ValueError(f"unknown fields {[*said]}")
        return ExpiresAfter.model_validate(given).seconds
    except (KeyError, ValueError) as error:
        raise BadRequestError(WRONG_EXPIRY, param=EXPIRY) from error


def refuse_late_expiry(fields: Mapping[str, str]) -> None:
    """Raise BadRequestError for an expiry behind a file that was stored as it came."""
    if any(name.startswith(EXPIRY) for name in fields):
        raise BadRequestError(f"{EXPIRY}: must stand before the file", param=EXPIRY)


class UploadBody(StrictBody):
    """Request body of POST /v1/uploads."""

    filename: Filename = Field(max_length=255)
    purpose: Purpose = Field(examples=["fine-tune"])
    bytes: int = Field(gt=0, lt=2**63, examples=[BYTES])
    expires_after: ExpiresAfter | None = Field(
        None, description="When the file is deleted by itself; left out for never."
    )
    mime_type: str = Field(
        "", max_length=255, description="Ignored; the file is typed by its content."
    )


class CompleteUploadBody(StrictBody):
    """Request body of POST /v1/uploads/{upload_id}/complete."""

    part_ids: list[Annotated[str, Field(max_length=128)]] = Field(
        max_length=MAX_PARTS, examples=[[PART_ID]]
    )
    md5: str = Field("", max_length=32, description="MD5 of the whole file, as hex.")


class File(ResponseModel):
    """A stored file."""

    id: FileId = Field(validation_alias="file_id")
    object: Literal["file"] = "file"
    bytes: int = Field(validation_alias="size_bytes", examples=[BYTES])
    created_at: UnixSeconds
    filename: Filename
    purpose: PurposeName
    status: Literal["processed"] = "processed"
    digest: Digest
    sha256: OrNull[str] = Field(examples=["9f" * 32])
    """Of the content, in hex."""
    expires_at: UnixSeconds | None
    """When it is deleted by itself; null for never."""


class Upload(ResponseModel):
    """Upload of a file in parts."""

    id: UploadId = Field(validation_alias="upload_id")
    object: Literal["upload"] = "upload"
    bytes: int = Field(validation_alias="size_bytes", examples=[BYTES])
    created_at: UnixSeconds
    filename: Filename
    purpose: PurposeName
    status: Literal["pending", "completed", "cancelled", "expired"]
    expires_at: int = Field(examples=[1764003600])
    file: File | None

    @classmethod
    def of_upload(cls, upload: UploadMessage) -> Self:
        """A file on its way."""
        return cls.of(upload.header, upload)


class UploadPart(ResponseModel):
    """Stored part of an upload."""

    id: str = Field(validation_alias="part_id", examples=[PART_ID])
    object: Literal["upload.part"] = "upload.part"
    created_at: UnixSeconds
    upload_id: UploadId
