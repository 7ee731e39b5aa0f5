"""A teacher behind an OpenAI-compatible API: the gateway's, or one that others run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from modelmill_documents.scripts import count_tokens
from modelmill_service_kit.errors import InvalidInputError, UnavailableError

from modelmill_cli.generating.budget import Usage
from modelmill_cli.generating.prompts import ANSWER_SCHEMA

if TYPE_CHECKING:
    from openai import APIError, OpenAI

ASKED_AGAIN = 2
"""Times, by the SDK, of a request that failed in passing."""
TOKENS_A_TOKEN = 2
"""At most so many tokens of a model's are one of ours, where the server tells no usage."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TeacherError(UnavailableError):
    """The teacher answers nobody: it is away, full, refuses the key, or has no such model."""


class RefusedPassageError(Exception):
    """The teacher refuses this request alone."""


@dataclass(frozen=True)
class TeacherAnswer:
    text: str
    usage: Usage


class Teacher(Protocol):
    """A model that writes rows."""

    @property
    def name(self) -> str:
        """As rows name it."""

    def ask(self, prompt: str, max_tokens: int) -> TeacherAnswer:
        """An answer to one message; called from several threads.

        Raises:
            TeacherError: It answers nobody now.
            RefusedPassageError: It refuses this request.
        """


@dataclass(frozen=True)
class OpenAiTeacher:
    """Asks over the OpenAI SDK.

    Args:
        connect: A client for one request; its key may be another each time.
        url: For messages.
        has_schemas: Whether answers can be held to a JSON Schema.
    """

    connect: "Callable[[], OpenAI]"
    model: str
    url: str
    has_schemas: bool

    @property
    def name(self) -> str:
        return self.model

    def ask(self, prompt: str, max_tokens: int) -> TeacherAnswer:
        from openai import APIError

        try:
            with self.connect() as openai:
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
        return TeacherAnswer(text, used)

    def _format(self) -> dict[str, Any]:
        if not self.has_schemas:
            return {}
        schema = {"name": "pairs", "schema": ANSWER_SCHEMA, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}

    def _failure(self, error: "APIError") -> Exception:
        status = getattr(error, "status_code", None)
        if status is None:
            return TeacherError(
                f"the teacher at {self.url} does not answer ({error.message.rstrip('.')})."
                " Start it, or name another by --url"
            )
        said = error.body.get("message") if isinstance(error.body, dict) else None
        words = f"{status}: {str(said or error.message)[:300].rstrip('.')}"
        if status in (401, 403):
            return TeacherError(f"the teacher refuses the key ({words}). Give another --key-file")
        if status == 404:
            return TeacherError(
                f"there is no teacher {self.model!r} at {self.url} ({words}). Name another one"
            )
        if status == 429 or status >= 500:
            return TeacherError(
                f"the teacher {self.model!r} is full or fails ({words}). Repeat later, or ask less"
                " by --at-once"
            )
        return RefusedPassageError(words)


def external_teacher(url: str, model: str, key_file: Path | None) -> OpenAiTeacher:
    """A teacher that others run.

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
        raise InvalidInputError(f"--url {url[:200]}: no address. Give one such as https://host/v1")
    key = "none"
    if key_file is not None:
        key = key_file.read_text("utf-8").strip().partition("\n")[0].strip()
        if not key:
            raise InvalidInputError(f"{key_file}: has no key. Write it into the first line")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise InvalidInputError(
                f"--url {url[:200]}: the key would be sent without encryption. Give an address"
                " with https"
            )

    def connect() -> "OpenAI":
        from openai import OpenAI

        return OpenAI(base_url=url, api_key=key, max_retries=ASKED_AGAIN)

    return OpenAiTeacher(connect, model, url, has_schemas=False)
