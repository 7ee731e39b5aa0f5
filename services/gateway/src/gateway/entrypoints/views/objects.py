"""Models, files and datasets as OpenAI's clients and ours read them."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from jobs.kinds import dataset_id_of
from jobs.ledger import JobRecord
from modelmill.data_prep.v1.data_prep_service_pb2 import (
    AddUploadPartResponse,
    PreviewDatasetResponse,
    Upload,
)
from modelmill.registry.v1.model_events_pb2 import AliasState, DatasetReady, FileState, ModelReady

from gateway.domain.pages import Page, T
from gateway.entrypoints.views.job_views import STATUS, View, job_view, unix_seconds
from gateway.routing.alias_split import alias_split


def list_view(items: Iterable[T], view: Callable[[T], View]) -> View:
    """A whole list."""
    return {"object": "list", "data": [view(item) for item in items], "has_more": False}


def page_view(page: Page[T], view: Callable[[T], View]) -> View:
    """Some of a list, with the ids from which clients turn the page."""
    shown = [view(item) for item in page.items]
    ends: dict[str, Any] = {
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }
    return {"object": "list", "data": shown, "has_more": page.has_more, **ends}


def deleted_view(kind: str, deleted_id: str) -> View:
    """That something is deleted, in OpenAI's words."""
    return {"id": deleted_id, "object": kind, "deleted": True}


def model_view(version: ModelReady) -> View:
    """A version as OpenAI's `model`; everything after `owned_by` is ours."""
    return {
        "id": version.version_id,
        "object": "model",
        "created": unix_seconds(version.created_at),
        "owned_by": version.tenant,
        "name": version.name,
        "form": version.form,
        "parent_version_id": version.parent_version_id or None,
        "base_version_id": version.base_version_id or None,
        "job_id": version.job_id or None,
        "dataset_id": version.dataset_id or None,
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "context_tokens": version.context_tokens,
        "metrics": dict(version.metrics),
    }


def alias_as_model_view(alias: AliasState) -> View:
    """An alias as OpenAI's `model`: it can be asked for like one."""
    return {
        "id": alias.name,
        "object": "model",
        "created": unix_seconds(alias.moved_at),
        "owned_by": alias.tenant,
        "version_id": alias.version_id,
    }


def alias_view(alias: AliasState) -> View:
    """An alias as ours."""
    return {
        "id": alias.name,
        "object": "alias",
        "name": alias.name,
        "version_id": alias.version_id,
        "owned_by": alias.tenant,
        "moved_by": alias.moved_by,
        "moved_at": unix_seconds(alias.moved_at),
        **_split_fields(alias),
    }


def _split_fields(alias: AliasState) -> View:
    """What an alias with variants has beyond a version."""
    split = alias_split(alias)
    if split is None:
        return {}
    return {
        "variants": [dict(vars(variant)) for variant in split.variants],
        "shadow": dict(vars(split.shadow)) if split.shadow else None,
        "fallback": list(split.fallback),
    }


def file_view(file: FileState) -> View:
    """A file as OpenAI's `file`; `digest` is ours."""
    return {
        "id": file.file_id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": unix_seconds(file.created_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "digest": file.digest,
    }


def upload_view(upload: Upload) -> View:
    """A file on its way as OpenAI's `upload`."""
    return {
        "id": upload.upload_id,
        "object": "upload",
        "bytes": upload.size_bytes,
        "created_at": upload.created_at,
        "filename": upload.header.filename,
        "purpose": upload.header.purpose,
        "status": upload.status,
        "expires_at": upload.expires_at,
        "file": file_view(upload.file) if upload.HasField("file") else None,
    }


def upload_part_view(part: AddUploadPartResponse, upload_id: str) -> View:
    """A part as OpenAI's `upload.part`."""
    return {
        "id": part.part_id,
        "object": "upload.part",
        "created_at": part.created_at,
        "upload_id": upload_id,
    }


def preview_view(shown: PreviewDatasetResponse) -> View:
    """The first rows of a file, as they would become."""
    rows = [
        {
            "line": row.line,
            "row": json.loads(row.row_json) if row.row_json else None,
            "reason": row.reason or None,
            "changes": list(row.changes),
        }
        for row in shown.rows
    ]
    return {"object": "dataset.preview", "columns": list(shown.columns), "data": rows}


def dataset_view(dataset: DatasetReady | JobRecord) -> View:
    """A dataset, or what will become one, by the job that makes it."""
    if isinstance(dataset, DatasetReady):
        return {
            "id": dataset.dataset_id,
            "object": "dataset",
            "status": STATUS_READY,
            "name": dataset.name,
            "file_id": dataset.file_id,
            "job_id": dataset.job_id,
            "digest": dataset.digest,
            "counts": dict(dataset.counts),
            "created_at": unix_seconds(dataset.created_at),
            "error": None,
        }
    job = job_view(dataset)
    return {
        "id": dataset_id_of(job["id"]),
        "object": "dataset",
        "status": STATUS[dataset.state.status],
        "name": job["spec"].get("name"),
        "file_id": job["spec"].get("file_id"),
        "job_id": job["id"],
        "digest": None,
        "counts": {},
        "created_at": job["created_at"],
        "error": job["error"],
    }


STATUS_READY = "ready"
