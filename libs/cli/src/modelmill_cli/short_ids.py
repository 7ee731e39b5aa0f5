"""Short ids in commands: a unique prefix stands for the whole id."""

from dataclasses import dataclass
from urllib.parse import quote

from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import did_you_mean

from modelmill_cli.errors import GatewayError
from modelmill_cli.gateway_client import GatewayClient

NOT_FOUND = 404
NAMED = 5
"""Candidates that an error names; of more it says how many there are."""


@dataclass(frozen=True)
class Sort:
    """Things of one sort, and where they are listed."""

    what: str
    path: str
    command: str
    """Which lists them for people."""
    begins: str = ""
    """How ids begin that may be shortened; names that people gave never are."""

    def full_id(self, client: GatewayClient, given: str) -> str:
        """The id or name itself, or the only id that begins with it.

        Raises:
            InvalidInputError: several ids begin so.
            NotFoundError: there is no such thing.
        """
        if self._is_there(client, given):
            return given
        known = [str(each["id"]) for each in client.each(self.path)]
        found = [each for each in known if given and self._shortens(given, each)]
        if len(found) == 1:
            return found[0]
        if found:
            more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
            raise InvalidInputError(
                f"{given[:80]!r} begins several ids: {', '.join(found[:NAMED])}{more}. Give more of"
                " the one that is meant"
            )
        raise NotFoundError(
            f"no {self.what} {given[:80]!r}.{did_you_mean(given, known)} `{self.command}` lists"
            " what there is"
        )

    def _is_there(self, client: GatewayClient, given: str) -> bool:
        try:
            client.get(f"{self.path}/{quote(given, safe='')}")
        except GatewayError as error:
            # Who may not look, or cannot now, is told why by what was to be done with it.
            return error.status != NOT_FOUND
        return True

    def _shortens(self, given: str, known: str) -> bool:
        return given.startswith(self.begins) and known.startswith(given)


JOB = Sort("job", "/v1/jobs", "mill jobs list")
EVALUATION = Sort("evaluation", "/v1/evaluations", "mill jobs list --kind evaluate")
MODEL = Sort("model", "/v1/models", "mill models list", begins="mv-")
DATASET = Sort("dataset", "/v1/datasets", "mill data list")
FILE = Sort("file", "/v1/files", "mill data files")
KEY = Sort("API key", "/v1/keys", "mill keys list")
