"""Shapes and examples of uploads in parts, and of previews."""

from typing import Any, Literal

from pydantic import Field

from modelmill_gateway.entrypoints.document import examples as e
from modelmill_gateway.entrypoints.document.model_answers import File
from modelmill_gateway.entrypoints.document.shape import Answer

UPLOAD_ID = "upload_5d0a"
PART_ID = "part_c81f"


class Upload(Answer):
    """Upload of a file in parts."""

    id: str
    object: Literal["upload"]
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    expires_at: int
    file: File | None


class UploadPart(Answer):
    """Stored part of an upload."""

    id: str
    object: Literal["upload.part"]
    created_at: int
    upload_id: str


class PreviewedRow(Answer):
    """Row of the file, and what would become of it."""

    line: int
    row: dict[str, Any] | None
    reason: str | None
    changes: list[str]


class DatasetPreview(Answer):
    """Preview: the first rows of a file as they would be in the dataset."""

    object: Literal["dataset.preview"]
    columns: list[str]
    reading: dict[str, str] = Field(
        description="How the file is read: encoding, delimiter (CSV), text_unit (plain text)."
    )
    data: list[PreviewedRow]


UPLOAD: dict[str, Any] = {
    "id": UPLOAD_ID,
    "object": "upload",
    "bytes": 20480,
    "created_at": e.AT,
    "filename": "rows.jsonl",
    "purpose": "fine-tune",
    "status": "pending",
    "expires_at": e.AT + 3600,
    "file": None,
}
UPLOAD_BODY = {"filename": "rows.jsonl", "purpose": "fine-tune", "bytes": 20480}
COMPLETED = {**UPLOAD, "status": "completed", "file": e.FILE_ANSWER}
CANCELLED = {**UPLOAD, "status": "cancelled"}
PART = {"id": PART_ID, "object": "upload.part", "created_at": e.AT, "upload_id": UPLOAD_ID}
PREVIEW = {
    "object": "dataset.preview",
    "columns": ["word", "gloss", "kind"],
    "reading": {"encoding": "gb18030", "delimiter": ";"},
    "data": [
        {
            "line": 1,
            "row": {
                "messages": [
                    {"role": "user", "content": "espresso: strong black coffee"},
                    {"role": "assistant", "content": "beverage"},
                ],
                "row": 1,
            },
            "reason": None,
            "changes": ["spaces@1"],
        },
        {
            "line": 2,
            "row": None,
            "reason": "map.missing_column: missing column 'kind'",
            "changes": [],
        },
    ],
}
