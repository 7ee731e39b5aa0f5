"""Where a store keeps its bytes, for the contract suite: opened anew, and touched from behind."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from modelmill_registry.local_cache import CACHE_BYTES, LocalCache
from modelmill_registry.s3_bucket import Bucket
from modelmill_registry.s3_store import S3Store
from modelmill_registry.store import FolderStore
from modelmill_registry.verifying_store import VerifyingStore

Clock = Callable[[], float]


def in_hours(hours: float) -> Clock:
    """The clock of somebody who lives that much later."""
    return lambda: time.time() + hours * 3600


class Place(Protocol):
    """Names are those of a store's layout: "blobs/sha256/...", "manifests/..."."""

    tick_seconds: float
    """How finely it tells when something was kept."""

    def open(self, *, now: Clock = time.time) -> VerifyingStore:
        """A store here, as another process would open it."""
        ...

    def fresh(self) -> "Place":
        """An empty place of the same kind."""
        ...

    def names(self) -> list[str]:
        """Of everything that is kept, sorted."""
        ...

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, content: bytes) -> None:
        """Change what is kept, as a fault would."""
        ...

    def delete(self, name: str) -> None: ...


def flip_at(place: Place, name: str, position: int = 0) -> None:
    """Change one bit of what is kept."""
    content = bytearray(place.read(name))
    content[position % len(content)] ^= 1
    place.write(name, bytes(content))


class FolderPlace:
    tick_seconds = 0.05

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, *, now: Clock = time.time) -> FolderStore:
        return FolderStore(self.root, now=now)

    def fresh(self) -> "FolderPlace":
        return FolderPlace(self.root / f"fresh-{uuid.uuid4().hex}")

    def names(self) -> list[str]:
        return sorted(
            path.relative_to(self.root).as_posix()
            for kept in ("blobs", "manifests", "parts/*/*/blobs", "parts/*/*/manifests")
            for folder in self.root.glob(kept)
            for path in folder.rglob("*")
            if path.is_file()
        )

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        (self.root / name).chmod(0o644)
        (self.root / name).write_bytes(content)

    def delete(self, name: str) -> None:
        (self.root / name).unlink()


class BucketPlace:
    """A prefix of a bucket on a real HTTP server, and a cache beside it."""

    tick_seconds = 1.0

    def __init__(self, client: Any, bucket: str, cache: Path) -> None:
        self.client = client
        self.bucket = bucket
        self.prefix = uuid.uuid4().hex
        self.cache = cache / self.prefix

    def open(
        self,
        *,
        now: Clock = time.time,
        cache_bytes: int = CACHE_BYTES,
        cache: Path | None = None,
    ) -> S3Store:
        local = LocalCache(cache or self.cache, cache_bytes, now=now)
        return S3Store(Bucket(self.bucket, self.prefix), local, now=now)

    def fresh(self) -> "BucketPlace":
        return BucketPlace(self.client, self.bucket, self.cache)

    def names(self) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}/")
        keys = (found["Key"] for found in listed.get("Contents", ()))
        return sorted(key.removeprefix(f"{self.prefix}/") for key in keys)

    def read(self, name: str) -> bytes:
        content: bytes = self.client.get_object(**self.at(name))["Body"].read()
        return content

    def write(self, name: str, content: bytes) -> None:
        self.client.put_object(**self.at(name), Body=content)

    def delete(self, name: str) -> None:
        self.client.delete_object(**self.at(name))

    def at(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": f"{self.prefix}/{name}"}
