"""A model behind an OpenAI-compatible API: the gateway's, or one that others run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from modelmill_documents.scripts import count_tokens
from modelmill_service_kit.errors import InvalidInputError, UnavailableError

from modelmill_cli.model_requests.budget import Usage

if TYPE_CHECKING:
    from openai import APIError, OpenAI

ASKED_AGAIN = 2
"""Times, by the SDK, of a request that failed in passing."""
TOKENS_A_TOKEN = 2
"""At most so many tokens of a model's are one of ours, where the server tells no usage."""
TIMEOUT_SECONDS = 600.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class EndpointError(UnavailableError):
    """The model answers nobody: it is away, full, refuses the key, or is not there."""


class RefusedRequestError(Exception):
    """The model refuses this request alone."""


@dataclass(frozen=True)
class EndpointAnswer:
    text: str
    usage: Usage
    model: str
    """As the endpoint names what answered."""


class Endpoint(Protocol):
    """A model that answers messages."""

    @property
    def name(self) -> str:
        """As rows name it."""

    @property
    def role(self) -> str:
        """As messages name it."""

    def ask(self, prompt: str, max_tokens: int) -> EndpointAnswer:
        """An answer to one message; called from several threads.

        Raises:
            EndpointError: It answers nobody now.
            RefusedRequestError: It refuses this request.
        """


@dataclass(frozen=True)
class EndpointWords:
    """What messages call the model, and where its options are given."""

    role: str = "teacher"
    url: str = "--url"
    key_file: str = "--key-file"
    at_once: str = "--at-once"


@dataclass(frozen=True)
class ChatEndpoint:
    """Asks over the OpenAI SDK.

    Args:
        connect: A client for one request; its key may be another each time.
        url: For messages.
        schema: JSON Schema that answers are held to; None where the server may not know how.
        timeout_seconds: Of one request.
    """

    connect: "Callable[[], OpenAI]"
    model: str
    url: str
    schema: Mapping[str, Any] | None = None
    words: EndpointWords = field(default_factory=EndpointWords)
    timeout_seconds: float = TIMEOUT_SECONDS

    @property
    def name(self) -> str:
        return self.model

    @property
    def role(self) -> str:
        return self.words.role

    def ask(self, prompt: str, max_tokens: int) -> EndpointAnswer:
        from openai import APIError

        try:
            with self.connect().with_options(timeout=self.timeout_seconds) as openai:
                answer = openai.chat.completions.create(
                    model=self.model,
                    messages=[{"role": "user", "content": prompt}],
                    max_tokens=max_tokens,
                    temperature=0,
                    **self._format(),
                )
        except APIError as error:
            raise self._failure(error) from error
        text = (answer.choices[0].message.content if answer.choices else None) or ""
        if answer.usage is None:
            used = Usage(count_tokens(prompt) * TOKENS_A_TOKEN, count_tokens(text) * TOKENS_A_TOKEN)
        else:
            used = Usage(answer.usage.prompt_tokens, answer.usage.completion_tokens)
        return EndpointAnswer(text, used, str(answer.model or self.model))

    def _format(self) -> dict[str, Any]:
        if self.schema is None:
            return {}
        schema = {"name": "answer", "schema": self.schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}

    def _failure(self, error: "APIError") -> Exception:
        role, words = self.words.role, self.words
        status = getattr(error, "status_code", None)
        if status is None:
            return EndpointError(
                f"the {role} at {self.url} does not answer ({error.message.rstrip('.')})."
                f" Start it, or name another by {words.url}"
            )
        said = error.body.get("message") if isinstance(error.body, dict) else None
        shown = f"{status}: {str(said or error.message)[:300].rstrip('.')}"
        if status in (401, 403):
            return EndpointError(
                f"the {role} refuses the key ({shown}). Give another {words.key_file}"
            )
        if status == 404:
            return EndpointError(
                f"there is no {role} {self.model!r} at {self.url} ({shown}). Name another one"
            )
        if status == 429 or status >= 500:
            return EndpointError(
                f"the {role} {self.model!r} is full or fails ({shown}). Repeat later, or ask less"
                f" by {words.at_once}"
            )
        return RefusedRequestError(shown)


def external_client(
    url: str, key_file: Path | None, words: EndpointWords
) -> "Callable[[], OpenAI]":
    """Clients of an API that others run.

    Args:
        url: Such as `https://host/v1`.
        key_file: Its first line is the key; None for a server that asks for none.

    Raises:
        InvalidInputError: The address is none, the file has no key, or the key would be sent
            without encryption to another machine.
        OSError: The file cannot be read.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInputError(
            f"{words.url} {url[:200]}: no address. Give one such as https://host/v1"
        )
    key = "none"
    if key_file is not None:
        key = key_file.read_text("utf-8").strip().partition("\n")[0].strip()
        if not key:
            raise InvalidInputError(f"{key_file}: has no key. Write it into the first line")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise InvalidInputError(
                f"{words.url} {url[:200]}: the key would be sent without encryption. Give an"
                " address with https"
            )

    def connect() -> "OpenAI":
        from openai import OpenAI

        return OpenAI(base_url=url, api_key=key, max_retries=ASKED_AGAIN)

    return connect
