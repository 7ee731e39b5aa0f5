"""The gateway's HTTP API as the terminal uses it."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from modelmill_service_kit.errors import InvalidInputError, UnavailableError

from modelmill_cli.errors import GatewayError
from modelmill_cli.keys import ALL_SCOPES, LocalKeys
from modelmill_cli.state_folder import StateFolder

if TYPE_CHECKING:
    from openai import OpenAI

DEFAULT_TENANT = "demo"
DEFAULT_MODEL = "default"
"""What the gateway asks where nobody names a model, if it is not told otherwise."""
REQUEST_SECONDS = 120.0
PAGE = 100
"""Items that a list gives at most at a time."""


@dataclass(frozen=True)
class Connection:
    """Where the gateway is and what to show it."""

    url: str
    token: str

    @classmethod
    def find(cls, state: StateFolder, *, life: timedelta = timedelta(hours=1)) -> "Connection":
        """MODELMILL_URL and MODELMILL_TOKEN when set, else what runs on the state folder.

        Args:
            life: Of the token that is made, where none is given.

        Raises:
            PreconditionError: neither.
            InvalidInputError: a URL without a token.
        """
        url, token = os.environ.get("MODELMILL_URL"), os.environ.get("MODELMILL_TOKEN")
        if url and not token:
            raise InvalidInputError("MODELMILL_URL is set but MODELMILL_TOKEN is not")
        if url and token:
            return cls(url, token)
        return cls(state.read_runtime().http_url, local_token(state, life=life))

    def openai(self) -> "OpenAI":
        """The unmodified OpenAI SDK, pointed at our gateway."""
        # It takes most of a second to load, which every other command would pay as well.
        from openai import OpenAI

        return OpenAI(base_url=f"{self.url}/v1", api_key=self.token, max_retries=2)


def local_token(state: StateFolder, *, life: timedelta = timedelta(hours=1)) -> str:
    """A token with every scope for this machine's own user."""
    return LocalKeys(state.keys).issue(
        subject=os.environ.get("USER", "local"), tenant=DEFAULT_TENANT, scopes=ALL_SCOPES, life=life
    )


class GatewayClient:
    """Calls that the OpenAI SDK does not have. Errors come back as one line."""

    def __init__(self, connection: Connection) -> None:
        self._http = httpx.Client(
            base_url=connection.url,
            headers={"authorization": f"Bearer {connection.token}"},
            timeout=REQUEST_SECONDS,
        )

    def __enter__(self) -> "GatewayClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Make no more calls."""
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        return self._call("GET", path, params=parameters)

    def each(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        page = self.get(path, **parameters, limit=PAGE)
        while True:
            yield from page["data"]
            if not page.get("has_more"):
                return
            page = self.get(path, **parameters, limit=PAGE, after=page["data"][-1]["id"])

    def post(self, path: str, body: Any, *, headers: dict[str, str] | None = None) -> Any:
        return self._call("POST", path, json=body, headers=headers)

    def put(self, path: str, body: Any) -> Any:
        return self._call("PUT", path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def upload(self, file: Path, *, purpose: str = "fine-tune") -> Any:
        """Send a file, streamed from the disk."""
        with file.open("rb") as content:
            return self._call(
                "POST",
                "/v1/files",
                files={"file": (file.name, content)},
                data={"purpose": purpose},
            )

    def download(self, path: str, target: Path, **parameters: Any) -> None:
        """Write an answer to a file, whole or not at all."""
        partial = target.with_name(f"{target.name}.part")
        try:
            with self._http.stream("GET", path, params=parameters) as response:
                if not response.is_success:
                    response.read()
                    _answer(response)
                with partial.open("wb") as file:
                    for chunk in response.iter_bytes():
                        file.write(chunk)
            partial.replace(target)
        except httpx.TransportError as error:
            raise UnavailableError(unreachable(error) or str(error)) from error
        finally:
            partial.unlink(missing_ok=True)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            response = self._http.request(method, path, **arguments)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise UnavailableError(unreachable(error) or str(error)) from error
        return _answer(response)

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[Iterator[str]]:
        """The lines of an answer that comes bit by bit.

        Raises:
            GatewayError: it refused.
            httpx.TransportError: the connection was lost; what came so far is good.
        """
        with self._http.stream("GET", path, headers=dict(headers)) as response:
            if not response.is_success:
                response.read()
                _answer(response)
            yield response.iter_lines()


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json()
    said: dict[str, Any] = {}
    try:
        said = response.json()["error"]
        message = said["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text[:500]
    asked = f"{response.request.method} {response.request.url.path}"
    may_pass = response.status_code in (429, 502, 503, 504)
    line = f"{asked}: {response.status_code}: {message}"
    status = response.status_code
    said = said if isinstance(said, dict) else {}
    raise GatewayError(line, status=status, may_pass=may_pass, said=said)


def unreachable(error: BaseException | None) -> str:
    """Why a call did not reach the gateway, and what to do; empty when it did."""
    if error is None:
        return ""
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return f"MODELMILL_URL is not an address: {error}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the gateway's certificate is not accepted: {error.verify_message}. Renew it, or name"
            " its issuer in SSL_CERT_FILE"
        )
    deeper = unreachable(error.__cause__ or error.__context__)
    if deeper or not isinstance(error, httpx.TransportError):
        return deeper
    return f"the gateway does not answer ({error}). Is `mill up` running?"
