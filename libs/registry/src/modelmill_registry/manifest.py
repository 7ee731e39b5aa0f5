"""The manifest: what an artifact consists of and what it was made from, as canonical bytes.

An artifact's digest is the SHA-256 of its manifest's bytes, so the same content and origin always
have the same name, and a changed byte anywhere has another one.
"""

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_registry.errors import CorruptArtifactError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_SEGMENT_BYTES = 255
_MAX_PATH_BYTES = 1024


def is_digest(text: str) -> bool:
    """Whether `text` is "sha256:" and 64 lower-case hex digits."""
    return _DIGEST.fullmatch(text) is not None


def hex_of(digest: str) -> str:
    """The hex part of a digest.

    Raises:
        NotFoundError: It is no digest, so nothing can be stored under it.
    """
    if not is_digest(digest):
        raise NotFoundError(f"no artifact {digest[:80]!r}")
    return digest.removeprefix("sha256:")


def blob_name(sha256: str) -> str:
    """Where a content lies below the root of any store."""
    return f"blobs/sha256/{sha256[:2]}/{sha256}"


def manifest_name(digest: str) -> str:
    """Where a manifest lies below the root of any store.

    Raises:
        NotFoundError: It is no digest.
    """
    return f"manifests/{hex_of(digest)}.json"


def path_problem(path: str) -> str | None:
    """Why `path` may not name a file of an artifact, or None when it may.

    Allowed is a relative POSIX path that stays inside its folder on every platform.
    """
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    segments = path.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        return "is not a plain relative path"
    if "\\" in path or ":" in path:
        return "has a backslash or a colon"
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in path):
        return "has a control character"
    if len(encoded) > _MAX_PATH_BYTES:
        return f"is longer than {_MAX_PATH_BYTES} bytes"
    if any(len(segment.encode()) > _MAX_SEGMENT_BYTES for segment in segments):
        return f"has a part longer than {_MAX_SEGMENT_BYTES} bytes"
    return None


SCHEMA = 1
_WORD = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact."""

    path: str
    """Relative to the artifact's folder, with "/" between parts."""
    size: int
    """Bytes."""
    sha256: str
    """64 hex digits; the name of the blob."""


@dataclass(frozen=True)
class Manifest:
    """An artifact as it was committed."""

    digest: str
    """ "sha256:" and the hash of the manifest's canonical bytes."""
    kind: str
    """ "file", "dataset", "model", "checkpoint"."""
    form: str
    """Which form of the kind: "jsonl", "safetensors", "openvino-int8", ..."""
    files: tuple[FileEntry, ...]
    """Sorted by path."""
    made_from: Mapping[str, str] = field(hash=False)
    """Role ("base", "dataset", ...) to the digest of the artifact used in it."""
    attributes: Mapping[str, Any] = field(hash=False)
    """JSON values that a reader needs before it opens a file, such as the context limit."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)


def encode_manifest(
    *,
    kind: str,
    form: str,
    files: tuple[FileEntry, ...],
    made_from: Mapping[str, str],
    attributes: Mapping[str, Any],
) -> tuple[Manifest, bytes]:
    """The manifest of these parts and its canonical bytes.

    Raises:
        InvalidInputError: A word, path or digest is malformed, or an attribute is not plain JSON.
    """
    document = {
        "schema": SCHEMA,
        "kind": kind,
        "form": form,
        "files": [
            {"path": entry.path, "size": entry.size, "sha256": entry.sha256}
            for entry in sorted(files, key=lambda entry: entry.path)
        ],
        "made_from": dict(made_from),
        "attributes": dict(attributes),
    }
    problems = _key_problems(document["attributes"], "attributes")
    if problems:
        raise InvalidInputError(problems)
    try:
        encoded = _canonical(document)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"attributes are not plain JSON: {error}") from error
    return decode_manifest(encoded), encoded


def decode_manifest(encoded: bytes) -> Manifest:
    """The manifest that has these bytes.

    Raises:
        InvalidInputError: They are not a canonical manifest; all problems are listed.
    """
    try:
        document = json.loads(encoded)
        canonical = _canonical(document) == encoded
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"manifest is not JSON: {error}") from error
    if not canonical or not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InvalidInputError("manifest is not canonical JSON of a known schema")
    try:
        manifest = Manifest(
            digest="sha256:" + hashlib.sha256(encoded).hexdigest(),
            kind=document["kind"],
            form=document["form"],
            files=tuple(FileEntry(**entry) for entry in document["files"]),
            made_from=document["made_from"],
            attributes=document["attributes"],
        )
        problems = _problems(manifest)
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"manifest has the wrong shape: {error}") from error
    if problems:
        raise InvalidInputError(problems)
    return manifest


def _canonical(document: object) -> bytes:
    # ASCII escapes, sorted keys and Python's shortest round-trip floats: one spelling per value.
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def _problems(manifest: Manifest) -> list[str]:
    problems = [
        f"{field_name} {word!r} is not a lower-case word"
        for field_name, word in (("kind", manifest.kind), ("form", manifest.form))
        if not _WORD.fullmatch(word)
    ]
    if not manifest.files:
        problems.append("an artifact has at least one file")
    paths = [entry.path for entry in manifest.files]
    if paths != sorted(set(paths)):
        problems.append("file paths are not unique and sorted")
    for entry in manifest.files:
        path_fault = path_problem(entry.path)
        if path_fault:
            problems.append(f"file path {entry.path!r} {path_fault}")
        if type(entry.size) is not int or entry.size < 0 or not is_digest(f"sha256:{entry.sha256}"):
            problems.append(f"file {entry.path!r} has a malformed size or hash")
    for role, digest in manifest.made_from.items():
        if not _WORD.fullmatch(role) or not is_digest(digest):
            problems.append(f"made_from {role!r}: {digest!r} is not a role and a digest")
    return problems


def _key_problems(value: object, where: str) -> list[str]:
    """Keys that JSON would silently turn into strings."""
    if isinstance(value, Mapping):
        problems = [
            f"{where} has the key {key!r}, not a string" for key in value if type(key) is not str
        ]
        for key, item in value.items():
            problems += _key_problems(item, f"{where}.{key}")
        return problems
    if isinstance(value, list | tuple):
        return [problem for item in value for problem in _key_problems(item, where)]
    return []


class ManifestSource(Protocol):
    """The part of a store that a walk needs."""

    def manifest(self, digest: str) -> Manifest: ...


class VerifyingSource(Protocol):
    """The part of a store that a check of all bytes needs."""

    def verify(self, digest: str) -> Manifest: ...


@dataclass(frozen=True)
class Edge:
    """`made` was made from `source`, which had the part `role` in it."""

    made: str
    role: str
    source: str


def walk(store: ManifestSource, digest: str) -> tuple[Edge, ...]:
    """Every edge below `digest`, nearest first, each once.

    Raises:
        NotFoundError: An artifact of the chain is not in the store.
        CorruptArtifactError: A manifest of the chain changed since its commit.
    """
    edges: list[Edge] = []
    for manifest in _chain(store.manifest, digest):
        edges += [Edge(manifest.digest, *item) for item in sorted(manifest.made_from.items())]
    return tuple(edges)


def verify(store: VerifyingSource, digest: str) -> tuple[Manifest, ...]:
    """Read every byte of the artifact and of all that it was made from; nearest first.

    Raises:
        NotFoundError: An artifact of the chain is not in the store.
        CorruptArtifactError: A byte of the chain changed since its commit.
    """
    return tuple(_chain(store.verify, digest))


ORIGIN = ("source", "revision", "licence")
"""Attributes of a model that a hub gave: its repository, the commit, and the licence there."""


def origin_of(store: ManifestSource, digest: str) -> dict[str, str]:
    """Where the model that a version was made from came from; empty where that is not known.

    Erased datasets, and whatever else of the chain is not here, are passed over.
    """

    def found(digest: str) -> Manifest | None:
        try:
            return store.manifest(digest)
        except (NotFoundError, CorruptArtifactError):
            return None

    for manifest in _chain(found, digest):
        if manifest.kind == "model" and ORIGIN[0] in manifest.attributes:
            return {
                name: str(manifest.attributes[name])
                for name in ORIGIN
                if name in manifest.attributes
            }
    return {}


def _chain(read: Callable[[str], Manifest | None], digest: str) -> Iterator[Manifest]:
    waiting, met = deque([digest]), {digest}
    while waiting:
        manifest = read(waiting.popleft())
        if manifest is None:
            continue
        yield manifest
        for _, source in sorted(manifest.made_from.items()):
            if source not in met:
                met.add(source)
                waiting.append(source)
