"""Datasets, and what a file's first rows would become."""

import json

from modelmill.data_prep.v1.data_prep_service_pb2 import PreviewDatasetResponse
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.kinds import dataset_id_of
from modelmill_job_index.index import JobRecord

from modelmill_gateway.entrypoints.views.job_views import STATUS, View, job_view, unix_seconds

STATUS_READY = "ready"


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
    reading = {field.name: value for field, value in shown.reading.ListFields()}
    return {
        "object": "dataset.preview",
        "columns": list(shown.columns),
        "reading": reading,
        "data": rows,
    }


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
