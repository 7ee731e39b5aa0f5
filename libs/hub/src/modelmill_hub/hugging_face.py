"""Hugging Face's hub and its mirrors, through `huggingface_hub`.

Listing, addresses, headers and uploads are the library's; so are its environment variables, of
which `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` matter most. Bytes of files are read here, by
plain HTTP: the library's own download goes on after a cut by whole blocks of 10 MiB, takes as many
bytes as are sent, and asks a second service (Xet) that a mirror may not have.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token, hf_hub_url
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import DatasetInfo, ModelInfo
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status
from modelmill_service_kit.errors import DomainError

from modelmill_hub.address import HubAddress
from modelmill_hub.errors import (
    FalseSizeError,
    GatedRepositoryError,
    HubOfflineError,
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

LIST_SECONDS = 30.0
"""Longest silence while a listing is awaited."""
DEFAULT_RETRY_SECONDS = 30.0
_RESET = re.compile(r"t=(\d{1,6})")
_LICENCE_TAG = "license:"


class HuggingFaceHub:
    """A hub that speaks Hugging Face's API.

    Args:
        endpoint: Its URL; by default that of the environment.
        token: Of a user; by default that of the environment, or the one that was logged in.
    """

    def __init__(self, endpoint: str | None = None, token: str | None = None) -> None:
        self._endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip(
            "/"
        )
        self._token = token or get_token()
        self._api = HfApi(endpoint=self._endpoint, token=self._token or False)

    def look_up(self, address: HubAddress) -> Repository:
        """As `Hub.look_up`."""
        with self._named(address):
            try:
                info = self._api.repo_info(
                    address.repository,
                    repo_type=address.kind,
                    revision=address.revision or None,
                    timeout=LIST_SECONDS,
                    files_metadata=True,
                )
                return self._listed(address, info)
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise HubUnreachableError(
                    f"{self._endpoint} does not answer as a hub does ({type(error).__name__})."
                    " Look at HF_ENDPOINT"
                ) from error

    def _listed(self, address: HubAddress, info: object) -> Repository:
        if not isinstance(info, ModelInfo | DatasetInfo) or not info.sha:
            raise TypeError(type(info).__name__)
        files = tuple(
            RemoteFile(
                each.rfilename,
                int(each.lfs["size"] if each.lfs else each.size or 0),
                sha256=str(each.lfs["sha256"]) if each.lfs else "",
                git_sha1="" if each.lfs else str(each.blob_id or ""),
            )
            for each in info.siblings or ()
        )
        check_paths(files)
        tags = (tag.removeprefix(_LICENCE_TAG) for tag in info.tags or () if _LICENCE_TAG in tag)
        return Repository(address, info.sha, next(tags, ""), files)

    @contextmanager
    def read(
        self, repository: Repository, file: RemoteFile, offset: int
    ) -> Iterator[RemoteContent]:
        """As `Hub.read`. Who is redirected to another host is not given the token."""
        address = repository.address
        url = hf_hub_url(
            address.repository,
            file.path,
            repo_type=address.kind,
            revision=repository.commit,
            endpoint=self._endpoint,
        )
        headers = build_hf_headers(token=self._token or False) | {"accept-encoding": "identity"}
        if offset:
            headers["range"] = f"bytes={offset}-"
        timeout = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
        with self._named(address, file.path):
            stream = get_session().stream("GET", url, headers=headers, timeout=timeout)
            with stream as response:
                if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    raise FalseSizeError(f"{file.path} ends before byte {offset:,}")
                hf_raise_for_status(response)
                yield content_of(response.status_code, response.headers, response.iter_raw(), file)

    def push(self, folder: Path, address: HubAddress, message: str) -> str:
        """As `Hub.push`."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        with self._named(address):
            try:
                self._api.create_repo(
                    address.repository, repo_type=address.kind, private=True, exist_ok=True
                )
                done = self._api.create_commit(
                    address.repository,
                    [CommitOperationAdd(str(each.relative_to(folder)), each) for each in files],
                    commit_message=message,
                    repo_type=address.kind,
                    revision=address.revision or None,
                )
            except (RuntimeError, ValueError) as error:
                # What the library makes of a file that was not taken.
                if isinstance(error.__cause__, httpx.HTTPError):
                    raise error.__cause__ from None
                raise HubUnreachableError(
                    f"{address}: the hub did not take the upload: {error}. Repeat it"
                ) from error
        return str(done.oid)

    @contextmanager
    def _named(self, address: HubAddress, path: str = "") -> Iterator[None]:
        """What the library and HTTP raise, as errors of ours."""
        try:
            yield
        except OfflineModeIsEnabled:
            raise HubOfflineError(
                f"{address}: HF_HUB_OFFLINE forbids to ask a hub. Unset it, or give a folder"
            ) from None
        except HfHubHTTPError as error:
            raise self._refusal(error, address, path) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise HubUnreachableError(
                f"{self._endpoint} does not answer: {str(error) or type(error).__name__}. Repeat to"
                " continue, or name a mirror by HF_ENDPOINT"
            ) from error

    def _refusal(self, error: HfHubHTTPError, address: HubAddress, path: str) -> DomainError:
        """By the library's class, or else by the status."""
        match error:
            case GatedRepoError():
                return GatedRepositoryError(
                    f"{address} is gated. Accept its terms at"
                    f" {self._endpoint}/{address.repository}, and {self._token_words()}"
                )
            case RevisionNotFoundError():
                return MissingRevisionError(
                    f"{address.source} has no revision {address.revision or 'main'!r}."
                    " Give a branch, a tag or a commit that it has"
                )
            case EntryNotFoundError():
                return MissingFileError(
                    f"{address} has no file {path!r}, which its listing has. Repeat it"
                )
            case RepositoryNotFoundError() | DisabledRepoError():
                return MissingRepositoryError(
                    f"{self._endpoint} has no {address.kind} {address.repository!r}, or it is"
                    f" private. Look at its name, and {self._token_words()}"
                )
        return self._refusal_by_status(address, error.response)

    def _token_words(self) -> str:
        return (
            "look at the rights of the token in HF_TOKEN"
            if self._token
            else "set HF_TOKEN to a token of yours"
        )

    def _refusal_by_status(self, address: HubAddress, response: httpx.Response) -> DomainError:
        """By the status of an answer that says no more."""
        status = response.status_code
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return TokenRefusedError(
                f"{self._endpoint} refuses this for {address} ({status}). To be let in,"
                f" {self._token_words()}"
            )
        if status == httpx.codes.TOO_MANY_REQUESTS:
            seconds = _retry_seconds(response)
            return RateLimitedError(
                f"{self._endpoint} takes no more requests for now. Repeat in {seconds:.0f} s to"
                " continue; a token in HF_TOKEN has a higher limit",
                retry_after_seconds=seconds,
            )
        return HubUnreachableError(
            f"{self._endpoint} answers {status} for {address}. Repeat to continue"
        )


def _retry_seconds(response: httpx.Response) -> float:
    """By `Retry-After`, or else by the header of rate limits."""
    after = response.headers.get("retry-after", "")
    if after.isdecimal():
        return float(after)
    reset = _RESET.search(response.headers.get("ratelimit", ""))
    return float(reset[1]) if reset else DEFAULT_RETRY_SECONDS
