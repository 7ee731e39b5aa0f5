"""ModelScope, through `modelscope_hub` (extra `modelscope`).

Expected: a listing is of a commit, and its files can be asked for by that. Actual: it names none.
So the commit here is the digest of the listing, and files are asked for by the revision that was
listed; where that moved meanwhile, their digests differ, and they are refused.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import requests
import urllib3
from modelmill_service_kit.errors import DomainError
from modelscope_hub import HubApi
from modelscope_hub.errors import (
    APIError,
    AuthenticationError,
    HubError,
    NotExistError,
    PermissionDeniedError,
    RateLimitError,
)

from modelmill_hub.address import HubAddress
from modelmill_hub.errors import (
    FalseSizeError,
    HubNotSupportedError,
    HubUnreachableError,
    MissingFileError,
    MissingRepositoryError,
    MissingRevisionError,
    RateLimitedError,
    TokenRefusedError,
)
from modelmill_hub.repository import (
    RemoteContent,
    RemoteFile,
    Repository,
    check_paths,
    content_of,
)

DEFAULT_REVISION = "master"
DEFAULT_RETRY_SECONDS = 30.0
COMMIT_DIGITS = 40
CHUNK_BYTES = 1 << 20


class ModelScopeHub:
    """A hub that speaks ModelScope's API.

    Args:
        endpoint: Its URL; by default that of `MODELSCOPE_ENDPOINT`.
        token: Of a user; by default that of `MODELSCOPE_API_TOKEN`, or the one that was logged in.
    """

    def __init__(self, endpoint: str | None = None, token: str | None = None) -> None:
        self._api = HubApi(endpoint=endpoint, token=token)
        self._legacy = self._api.legacy
        self._endpoint = self._legacy.endpoint

    def look_up(self, address: HubAddress) -> Repository:
        """As `Hub.look_up`."""
        revision = address.revision or DEFAULT_REVISION
        with self._named(address):
            info = self._legacy.get_repo_info(address.repository, address.kind)
        with self._named(address, revision=revision):
            listed = self._legacy.list_repo_files(address.repository, address.kind, revision)
        try:
            files = tuple(_file(each) for each in listed if each.get("Type", "blob") != "tree")
            licence = str(info.get("License") or "")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise HubUnreachableError(
                f"{self._endpoint} does not answer as a hub does ({type(error).__name__})."
                " Look at MODELSCOPE_ENDPOINT"
            ) from error
        check_paths(files)
        return Repository(address, _digest(files), licence, files, revision)

    @contextmanager
    def read(
        self, repository: Repository, file: RemoteFile, offset: int
    ) -> Iterator[RemoteContent]:
        """As `Hub.read`."""
        address = repository.address
        headers = {"accept-encoding": "identity"}
        if offset:
            headers["range"] = f"bytes={offset}-"
        with self._named(address, path=file.path):
            asked = (address.repository, address.kind, file.path, repository.revision, headers)
            with closing(self._legacy.download_stream(*asked)) as response:
                chunks = response.raw.stream(CHUNK_BYTES, decode_content=False)
                yield content_of(response.status_code, response.headers, chunks, file)

    def push(self, folder: Path, address: HubAddress, message: str) -> str:
        """As `Hub.push`: not there."""
        raise HubNotSupportedError(
            f"{address}: nothing is pushed to ModelScope yet. Export to a folder, and upload it by"
            " ModelScope's own tool"
        )

    @contextmanager
    def _named(self, address: HubAddress, *, path: str = "", revision: str = "") -> Iterator[None]:
        """What the library and HTTP raise, as errors of ours."""
        try:
            yield
        except APIError as error:
            raise self._refusal(error, address, path, revision) from error
        except (HubError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise HubUnreachableError(
                f"{self._endpoint} does not answer: {said}. Repeat to continue"
            ) from error

    def _token_words(self) -> str:
        return (
            "look at the rights of the token in MODELSCOPE_API_TOKEN"
            if self._legacy.token
            else "set MODELSCOPE_API_TOKEN to a token of yours"
        )

    def _refusal(
        self, error: APIError, address: HubAddress, path: str, revision: str
    ) -> DomainError:
        """By the library's class, and by what was asked for."""
        token = self._token_words()
        match error:
            case AuthenticationError() | PermissionDeniedError():
                return TokenRefusedError(
                    f"{self._endpoint} refuses this for {address} ({error.status_code}). To be let"
                    f" in, {token}"
                )
            case NotExistError() if path:
                return MissingFileError(
                    f"{address} has no file {path!r}, which its listing has. Repeat it"
                )
            case NotExistError() if revision:
                return MissingRevisionError(
                    f"{address.source} has no revision {revision!r}. Give a branch, a tag or a"
                    " commit that it has"
                )
            case NotExistError():
                return MissingRepositoryError(
                    f"{self._endpoint} has no {address.kind} {address.repository!r}, or it is"
                    f" private. Look at its name, and {token}"
                )
            case RateLimitError():
                seconds = float(error.retry_after or DEFAULT_RETRY_SECONDS)
                return RateLimitedError(
                    f"{self._endpoint} takes no more requests for now. Repeat in {seconds:.0f} s to"
                    " continue",
                    retry_after_seconds=seconds,
                )
        if error.status_code == requests.codes.requested_range_not_satisfiable:
            return FalseSizeError(f"{path} ends before the byte that was asked for")
        return HubUnreachableError(
            f"{self._endpoint} answers {error.status_code} for {address}. Repeat to continue"
        )


def _file(listed: Mapping[str, Any]) -> RemoteFile:
    """One entry of the listing; a file without a digest is no file that can be trusted."""
    digest = str(listed["Sha256"]).lower()
    if len(bytes.fromhex(digest)) != hashlib.sha256().digest_size:
        raise ValueError(digest)
    return RemoteFile(str(listed["Path"]), int(listed["Size"]), sha256=digest)


def _digest(files: tuple[RemoteFile, ...]) -> str:
    """Stands for a commit: the same for the same files, in the form of a commit's name."""
    told = sorted(f"{each.path}\0{each.sha256}\n" for each in files)
    return hashlib.sha256("".join(told).encode()).hexdigest()[:COMMIT_DIGITS]
