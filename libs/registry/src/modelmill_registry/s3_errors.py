"""What an S3 server's refusals mean to a person: one line, what to do, no credentials."""

import os
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from modelmill_service_kit.errors import UnavailableError

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
