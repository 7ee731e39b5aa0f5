"""Short ids in commands: a unique prefix, or a unique name, stands for the whole id."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modelmill_client import ApiStatusError, Modelmill
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import nearest

NOT_FOUND = 404
NAMED = 5
"""Candidates that an error names; of more it says how many there are."""


class Listed(Protocol):
    """The calls of the client for things of a sort."""

    def list(self) -> Iterable[Any]: ...

    def retrieve(self, named: str, /) -> Any: ...


@dataclass(frozen=True)
class Sort:
    """Things of one sort, and where they are listed."""

    what: str
    calls: Callable[[Modelmill], Listed]
    command: str
    """Which lists them for people."""
    begins: str = ""
    """How ids begin that may be shortened; names that people gave never are."""
    has_names: bool = False
    """Whether a whole name that one thing alone has stands for its id."""

    def full_id(self, client: Modelmill, given: str) -> str:
        """The id or name itself, or the only id that begins with it or is called so.

        Raises:
            InvalidInputError: several ids begin so, or are called so.
            NotFoundError: there is no such thing.
        """
        if self._is_there(client, given):
            return given
        listed = self.calls(client).list()
        names = {str(each["id"]): each.get("name") or each.get("filename") for each in listed}
        known = [*names]
        found = [each for each in known if given and self._shortens(given, each)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidInputError(
                f"{given[:80]!r} begins several ids: {_few(found)}. Give more of the one that is"
                " meant"
            )
        called = [id_ for id_, name in names.items() if self.has_names and name == given]
        if len(called) == 1:
            return called[0]
        if called:
            raise InvalidInputError(
                f"several are called {given[:80]!r}: {_few(called)}. Give the id; the newest stands"
                " first"
            )
        raise NotFoundError(
            f"no {self.what} {given[:80]!r}.{_meant(given, names)} `{self.command}` lists what"
            " there is"
        )

    def _is_there(self, client: Modelmill, given: str) -> bool:
        try:
            self.calls(client).retrieve(given)
        except ApiStatusError as error:
            # Who may not look, or cannot now, is told why by what was to be done with it.
            return error.status != NOT_FOUND
        return True

    def _shortens(self, given: str, known: str) -> bool:
        return given.startswith(self.begins) and known.startswith(given)


def _few(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"{', '.join(ids[:NAMED])}{more}"


def _meant(given: str, names: Mapping[str, str | None]) -> str:
    """A question for the id that is near, or that has a name which is."""
    by_name = {
        name: id_ for id_, name in reversed([*names.items()]) if name
    }  # the newest of a name
    near = nearest(given, [*names, *by_name])
    if near in by_name and near not in names:
        return f" Did you mean {by_name[near]!r}, which is called {near!r}?"
    return f" Did you mean {near!r}?" if near else ""


JOB = Sort("job", lambda client: client.jobs, "mill jobs list")
EVALUATION = Sort("evaluation", lambda client: client.evaluations, "mill jobs list --kind evaluate")
MODEL = Sort("model", lambda client: client.models, "mill models list", begins="mv-")
DATASET = Sort("dataset", lambda client: client.datasets, "mill data list", has_names=True)
FILE = Sort("file", lambda client: client.files, "mill files list", has_names=True)
BATCH = Sort("batch", lambda client: client.batches, "mill batch list")
WEBHOOK = Sort("webhook", lambda client: client.webhooks, "mill webhooks list")
EXPERIMENT = Sort("experiment", lambda client: client.experiments, "mill experiments list")
KEY = Sort("API key", lambda client: client.keys, "mill keys list")
