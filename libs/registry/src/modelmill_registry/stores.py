"""Which store a location means: a folder, or a bucket of an S3-compatible server."""

from pathlib import Path
from urllib.parse import urlsplit

from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.locations import local_path
from modelmill_service_kit.settings import ServiceSettings

from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.local_cache import CACHE_BYTES, LocalCache
from modelmill_registry.store import FolderStore


def store_of(settings: ServiceSettings) -> ArtifactStore:
    """The store that a service is told to use; raises as `open_store` does."""
    return open_store(
        settings.artifact_root,
        settings.artifact_disk,
        cache_bytes=settings.artifact_cache_bytes,
    )


def open_store(location: str, cache: Path, *, cache_bytes: int = CACHE_BYTES) -> ArtifactStore:
    """The store at `location`; a server is not asked before it is needed.

    Args:
        location: A path or `file://` for a folder, `s3://bucket/prefix` for a bucket, whose server
            and credentials are in the `AWS_*` variables.
        cache: Folder on this machine for copies of what a server has; a folder needs none.
        cache_bytes: What the cache may hold.

    Raises:
        InvalidInputError: It is neither.
    """
    folder = local_path(location)
    if folder is not None:
        return FolderStore(folder)
    parts = urlsplit(location)
    if parts.scheme != "s3" or not parts.netloc:
        raise InvalidInputError(
            "an artifact root is a folder, file:///folder or s3://bucket/prefix"
        )
    # Takes long to load, and most machines have a folder.
    from modelmill_registry.s3_bucket import Bucket
    from modelmill_registry.s3_store import S3Store

    return S3Store(Bucket(parts.netloc, parts.path), LocalCache(cache, cache_bytes))
