"""A recipe: from rows to a served model, in one file."""

from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any, Self

from modelmill_service_kit.nearest import did_you_mean

from modelmill_recipes.located import LocatedYaml, Place
from modelmill_recipes.schema_errors import schema_errors


@dataclass(frozen=True)
class Recipe:
    """What a recipe says; bodies are those of the API, without what its steps fill in."""

    source: LocatedYaml
    name: str
    base: str | Path
    """A version or name; or a folder, absolute."""
    files: tuple[Path, ...]
    """Absolute; one."""
    dataset: dict[str, Any]
    training: dict[str, Any]
    evaluation: dict[str, Any] | None
    optimizations: tuple[dict[str, Any], ...]
    alias: str
    is_default: bool
    requires_learning: bool

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read and check a recipe.

        Raises:
            InvalidInputError: everything that is wrong with it, each with its line.
            OSError: it cannot be read.
        """
        source = LocatedYaml(file)
        if errors := list(dict.fromkeys(schema_errors(source.value))):
            raise source.errors(errors)
        value = source.value
        data = dict(value["data"])
        errors = []
        folder = file.resolve().parent
        base = _base(value["base"], folder, errors)
        files = _files(data.pop("files"), folder, errors)
        if len(files) > 1:
            names = ", ".join(each.name for each in files)
            said = f"data.files: {names}: a dataset is made of one file yet. Join them to one"
            errors.append((("data", "files"), said))
        if errors:
            raise source.errors(errors)
        return cls(
            source=source,
            name=value["name"],
            base=base,
            files=files,
            dataset=data,
            training=value.get("training") or {},
            evaluation=value.get("evaluation"),
            optimizations=tuple(value.get("optimizations") or ()),
            alias=value.get("alias") or value["name"],
            is_default=bool(value.get("default")),
            requires_learning=bool(value.get("require_learned", True)),
        )

    def located(self, message: str, section: str) -> str:
        """An error of the API about a field of a section, with its line in front.

        Args:
            message: Such as `mapping.user_template: ...`.
        """
        field = message.partition(":")[0]
        place: Place = (section, *field.split(".")) if " " not in field else (section,)
        return f"{self.source.at(place)}: {message}"


def _base(given: str, folder: Path, errors: list[tuple[Place, str]]) -> str | Path:
    """A folder has a slash in it, as `./base`; a version or name has none."""
    if "/" not in given:
        return given
    path = (folder / Path(given).expanduser()).resolve()
    if not path.is_dir():
        errors.append((("base",), f"base: no folder {given!r}.{_meant(path)}"))
    return path


def _files(
    given: str | list[str], folder: Path, errors: list[tuple[Place, str]]
) -> tuple[Path, ...]:
    """Files that are named, each once, in the order in which they are; of a glob by their names."""
    found: dict[Path, None] = {}
    for index, each in enumerate([given] if isinstance(given, str) else given):
        path = folder / Path(each).expanduser()
        if has_magic(each):
            paths = [Path(name) for name in sorted(glob(str(path), recursive=True))]
        else:
            paths = [path]
        paths = [one.resolve() for one in paths if one.is_file()]
        if not paths:
            place: Place = ("data", "files") if isinstance(given, str) else ("data", "files", index)
            errors.append((place, f"data.files: no file {each!r}.{_meant(path)}"))
        found |= dict.fromkeys(paths)
    return tuple(found)


def _meant(path: Path) -> str:
    """The nearest name in the folder in which it should be."""
    try:
        names = sorted(each.name for each in path.parent.iterdir())
    except OSError:
        return f" {path.parent} is not there, either"
    return did_you_mean(path.name, names) or f" Looked in {path.parent}"
