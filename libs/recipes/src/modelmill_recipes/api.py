"""What running a recipe needs of the gateway; `mill` has it over HTTP."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

Record = dict[str, Any]
"""As the API gives it."""


class Api(Protocol):
    """Calls, with JSON bodies; refusals are raised as `modelmill_service_kit.errors`."""

    def get(self, path: str, **parameters: Any) -> Any: ...

    def each(self, path: str, **parameters: Any) -> Iterator[Record]:
        """Every item of a list, over its pages."""

    def post(self, path: str, body: Any, *, headers: dict[str, str] | None = None) -> Any: ...

    def put(self, path: str, body: Any) -> Any: ...

    def upload(self, file: Path, *, purpose: str = "fine-tune") -> Any: ...


FollowJob = Callable[[str, str], Record]
"""Shows a job, by its id and a title, until it ends; gives its record, or raises where it did not
succeed."""
ImportBase = Callable[[Path], str]
"""Imports a model folder; the same content gives the same version. Gives its id."""


class StepView(Protocol):
    """Where steps are told of as they go."""

    def kept(self, step: str, words: str) -> None:
        """It was done before, with these inputs."""

    def done(self, step: str, words: str) -> None:
        """It is done now."""

    def left(self, step: str, words: str) -> None:
        """It is left undone, for a reason."""
