"""Files and uploads as OpenAI's clients read them."""

from modelmill.data_prep.v1.data_prep_service_pb2 import AddUploadPartResponse, Upload
from modelmill.registry.v1.model_events_pb2 import FileState

from modelmill_gateway.entrypoints.views.job_views import View, unix_seconds


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
