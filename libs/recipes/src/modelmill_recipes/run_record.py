"""What runs of a recipe remember on this machine: where they moved aliases."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunRecord:
    """Versions to which a recipe moved aliases, in a file of the state folder.

    Everything else that was done is asked of the gateway. This is not there: whether an alias
    stands where a run or where a person put it.
    """

    file: Path

    @classmethod
    def of(cls, folder: Path, recipe: str) -> "RunRecord":
        """Of a recipe, by its name."""
        return cls(folder / f"{recipe}.json")

    @property
    def report(self) -> Path:
        """Where the report of the last run is written."""
        return self.file.with_suffix(".html")

    def moved(self, alias: str) -> tuple[str, str]:
        """The version that a run asked for last, and the one at which the alias then stood, which
        may be a build of it; empty where none did."""
        asked, at = self._read().get(alias, ("", ""))
        return asked, at

    def move(self, alias: str, asked: str, at: str) -> None:
        """Remember it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(self._read() | {alias: [asked, at]}, indent=1) + "\n")
        fresh.replace(self.file)

    def _read(self) -> dict[str, list[str]]:
        try:
            aliases: dict[str, list[str]] = json.loads(self.file.read_text())
        except (FileNotFoundError, ValueError):
            return {}  # an alias that stands elsewhere is then left alone
        return aliases
