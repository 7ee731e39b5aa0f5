"""A bucket of an S3-compatible server: objects under a prefix, and typed errors.

Endpoint, region and credentials are boto3's own business: `AWS_ENDPOINT_URL`, `AWS_REGION`,
`AWS_ACCESS_KEY_ID` and the rest of its standard sources.
"""

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from modelmill_service_kit.errors import InvalidInputError, UnavailableError

ABSENT = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchUpload"})
TAKEN = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})
"""Somebody else's object is there, or on its way."""
NO_CONDITIONS = frozenset({"501", "NotImplemented"})
"""An older server, which knows no If-None-Match."""
_REFUSED = frozenset(
    {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
)


def code_of(error: ClientError) -> str:
    """The server's word, or the HTTP status where there is no body to hold one."""
    return str(error.response.get("Error", {}).get("Code", ""))


def unavailable(location: str, error: BotoCoreError | ClientError) -> UnavailableError:
    """The error for callers; the cause keeps its own words for the log."""
    return UnavailableError(f"artifact store {location}: {_remedy(error)}")


def _remedy(error: BotoCoreError | ClientError) -> str:
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return "no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, ParamValidationError):
        return "that is no name of a bucket. Correct the artifact root"
    if not isinstance(error, ClientError):
        return f"{_server()} does not answer. Start it, or correct AWS_ENDPOINT_URL"
    code = code_of(error)
    if code == "NoSuchBucket":
        return f"{_server()} has no such bucket. Make it, or correct the artifact root"
    if code in _REFUSED:
        return f"{_server()} refuses the credentials ({code}). Check them and the bucket's policy"
    return f"{_server()} failed ({code}). Try again, then look into its log"


def _server() -> str:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return "AWS S3"
    parts = urlsplit(endpoint)
    # Without the user and password that some people put into an address.
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


PART_BYTES = 16 << 20
"""Larger files go up in parts of this size."""
_COPY_LIMIT_BYTES = 5 << 30
"""The most that a server copies in one call."""
_CHUNK_BYTES = 1 << 20
_CONNECT_SECONDS = 5
_READ_SECONDS = 60


@dataclass(frozen=True)
class StoredObject:
    """An object as the server describes it."""

    name: str
    """Its key, less the prefix."""
    size: int
    changed_at: float
    """Unix time, by the server's clock."""
    sha256: str | None = None
    """As the server computed it, in base64: of the content, or of its parts' hashes."""


class Bucket:
    """Objects of one bucket below one prefix; a server that says no is UnavailableError.

    Raises:
        InvalidInputError: `AWS_ENDPOINT_URL` is malformed.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.location = f"s3://{bucket}/{self._prefix}".rstrip("/")
        with self._answering():
            try:
                self._client = _client()
            except ValueError as error:  # boto3's word for an address that is none
                raise InvalidInputError("AWS_ENDPOINT_URL is not an address") from error

    def below(self, under: str) -> "Bucket":
        """The objects below a prefix of this one's."""
        lower = copy(self)
        lower._prefix = f"{self._prefix}{under}/"
        lower.location = f"{self.location}/{under}"
        return lower

    def head(self, name: str) -> StoredObject | None:
        """What the server knows of an object; None when there is none."""
        with self._answering():
            try:
                answer = self._client.head_object(**self._at(name), ChecksumMode="ENABLED")
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return None
                raise
        return StoredObject(
            name,
            answer["ContentLength"],
            answer["LastModified"].timestamp(),
            # That of parts has their number behind it.
            answer.get("ChecksumSHA256", "").partition("-")[0] or None,
        )

    def chunks(self, name: str) -> Iterator[bytes] | None:
        """An object's bytes, piece by piece; None when there is none."""
        with self._answering():
            try:
                body = self._client.get_object(**self._at(name))["Body"]
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return None
                raise
        return self._pieces(body)

    def put(self, name: str, content: bytes, *, replace: bool) -> bool:
        """Store a small object; False when another was there and `replace` is not set."""
        checksum = _checksum(hashlib.sha256(content).digest())

        def send(conditions: dict[str, str]) -> None:
            self._client.put_object(**self._at(name), Body=content, **checksum, **conditions)

        return self._put(send, replace=replace)

    def put_file(
        self, name: str, path: Path, sha256: str, go_on: Callable[[], None], *, replace: bool
    ) -> bool:
        """Store a file, a large one in parts; the server checks the hash of each.

        Args:
            sha256: Hex digits, of the whole file.
            go_on: Called now and then; what it raises ends the upload and leaves nothing.
        """
        checksum = _checksum(bytes.fromhex(sha256))

        def send(conditions: dict[str, str]) -> None:
            go_on()
            with path.open("rb") as body:
                if path.stat().st_size <= PART_BYTES:
                    self._client.put_object(**self._at(name), Body=body, **checksum, **conditions)
                    return
                self._client.upload_fileobj(
                    body,
                    self._bucket,
                    self._prefix + name,
                    # It takes no conditions; the same name has the same content.
                    ExtraArgs={"ChecksumAlgorithm": "SHA256"},
                    Callback=lambda _: go_on(),
                    Config=TransferConfig(
                        multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES
                    ),
                )

        return self._put(send, replace=replace)

    def touch(self, name: str, size: int) -> bool:
        """Make an object young without sending its bytes; False when it is too large or gone."""
        if size > _COPY_LIMIT_BYTES:
            return False
        with self._answering():
            try:
                self._client.copy_object(
                    **self._at(name),
                    CopySource={"Bucket": self._bucket, "Key": self._prefix + name},
                    MetadataDirective="REPLACE",
                    ChecksumAlgorithm="SHA256",
                )
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return False
                raise
        return True

    def delete(self, name: str) -> None:
        """Remove an object, whether or not it is there."""
        with self._answering():
            self._client.delete_object(**self._at(name))

    def list(self, under: str) -> Iterator[StoredObject]:
        """Objects whose names start with `under`."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + under
        )
        with self._answering():
            for page in pages:
                for found in page.get("Contents", ()):
                    name = found["Key"].removeprefix(self._prefix)
                    yield StoredObject(name, found["Size"], found["LastModified"].timestamp())

    def abort_uploads(self, under: str, *, begun_before: float) -> int:
        """Drop the parts of uploads that nobody finished; how many there were."""
        aborted = 0
        with self._answering():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix + under
            )
            for page in pages:
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"].timestamp() < begun_before:
                        aborted += self._abort(upload["Key"], upload["UploadId"])
        return aborted

    def _abort(self, key: str, upload_id: str) -> bool:
        """False when it was finished or aborted meanwhile."""
        try:
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
        except ClientError as error:
            if code_of(error) in ABSENT:
                return False
            raise
        return True

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def _pieces(self, body: Any) -> Iterator[bytes]:
        with self._answering(), closing(body):
            yield from body.iter_chunks(_CHUNK_BYTES)

    def _put(self, send: Callable[[dict[str, str]], None], *, replace: bool) -> bool:
        with self._answering():
            try:
                send({} if replace else {"IfNoneMatch": "*"})
            except ClientError as error:
                if replace or code_of(error) not in TAKEN | NO_CONDITIONS:
                    raise
                if code_of(error) in TAKEN:
                    return False
                send({})  # the same name has the same content: writing it twice changes nothing
        return True

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise unavailable(self.location, error) from error


def _client() -> Any:
    own_server = "AWS_ENDPOINT_URL" in os.environ or "AWS_ENDPOINT_URL_S3" in os.environ
    # Sessions are not thread-safe, so the default one is not used; clients are.
    return boto3.session.Session().client(
        "s3",
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "max_attempts": 3},
            # Names of buckets as host names need DNS, which own servers rarely have.
            s3={"addressing_style": "path" if own_server else "auto"},
            # We hash what we send and read; not all servers know AWS's newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _checksum(digest: bytes) -> dict[str, str]:
    """Arguments that let the server compare what it got."""
    return {
        "ChecksumAlgorithm": "SHA256",
        "ChecksumSHA256": base64.b64encode(digest).decode(),
    }


def sha256_of_parts(path: Path) -> str:
    """What a server says of a file that came in parts: the hash of their hashes, in base64."""
    whole = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(PART_BYTES):
            whole.update(hashlib.sha256(part).digest())
    return base64.b64encode(whole.digest()).decode()
