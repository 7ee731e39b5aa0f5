"""Addresses of repositories on model hubs, such as `hf://org/name@revision/path`."""

import re
from dataclasses import dataclass, replace
from typing import Literal, Self

from modelmill_service_kit.errors import InvalidInputError

Kind = Literal["model", "dataset"]

HUBS = ("hf", "ms")
"""Hugging Face and ModelScope."""
PREFIXES: dict[str, Kind] = {"datasets/": "dataset", "models/": "model", "": "model"}
RESERVED = ("datasets", "models", "spaces", "api", "resolve")
"""First parts of addresses that are nobody's name."""
FORM = "hf://org/name@revision, or hf://datasets/org/name@revision"
_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
# A branch, a tag, a commit, or one of the hub's own references.
_REVISION = r"@(?P<revision>refs/(?:pr|convert)/[A-Za-z0-9._-]+|[A-Za-z0-9][A-Za-z0-9._-]{0,127})"
_REPOSITORY = re.compile(
    rf"(?P<hub>[a-z]+)://(?P<prefix>datasets/|models/|)(?P<repository>{_PART}/{_PART})"
    rf"(?:{_REVISION})?(?:/(?P<path>[^\x00-\x1f\\]{{1,512}}))?"
)
_OLD_REPOSITORY = re.compile(
    rf"(?P<hub>[a-z]+)://(?P<prefix>)(?P<repository>{_PART})(?:{_REVISION})?(?P<path>)"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub_address(text: str) -> bool:
    """Whether this is meant to be an address of a hub, right or wrong."""
    return "://" in text


@dataclass(frozen=True)
class HubAddress:
    """A repository, at a revision."""

    hub: str
    kind: Kind
    repository: str
    """With its owner, such as "org/name"; a few old ones have none."""
    revision: str = ""
    """Branch, tag or commit; empty for the default branch."""
    path: str = ""
    """A file or folder in it; empty for the whole."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address that a person wrote.

        Raises:
            InvalidInputError: It has another form, or names a hub that is not known.
        """
        found = _REPOSITORY.fullmatch(text) or _OLD_REPOSITORY.fullmatch(text)
        hub = text.partition("://")[0]
        if hub not in HUBS:
            raise InvalidInputError(
                f"{text!r}: {hub!r} is no hub. Write hf:// for Hugging Face or ms:// for ModelScope"
            )
        if found is None or _is_forbidden(found["repository"], found["path"] or ""):
            raise InvalidInputError(f"{text!r}: is no address of a repository. Write {FORM}")
        return cls(
            hub,
            PREFIXES[found["prefix"]],
            found["repository"],
            found["revision"] or "",
            found["path"] or "",
        )

    @property
    def name(self) -> str:
        """The repository's own name, without its owner."""
        return self.repository.rpartition("/")[2]

    @property
    def source(self) -> str:
        """The repository, without revision and path."""
        return f"{self.hub}://{'datasets/' if self.kind == 'dataset' else ''}{self.repository}"

    @property
    def is_commit(self) -> bool:
        """Whether the revision can never mean another content."""
        return _COMMIT.fullmatch(self.revision) is not None

    def at(self, revision: str) -> "HubAddress":
        """The same at another revision."""
        return replace(self, revision=revision)

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.source}{revision}{f'/{self.path}' if self.path else ''}"


def _is_forbidden(repository: str, path: str) -> bool:
    """Names that no hub gives, and paths that leave the repository."""
    parts = path.split("/") if path else []
    return (
        repository.partition("/")[0] in RESERVED
        or ".." in repository
        or "--" in repository
        or repository.endswith(".git")
        or any(part in ("", ".", "..") for part in parts)
    )
