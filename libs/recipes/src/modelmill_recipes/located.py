"""A YAML file with the line of each of its values, so that errors can name it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from modelmill_service_kit.errors import InvalidInputError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent

Place = tuple[str | int, ...]
"""Keys and indices that lead to a value."""


class LocatedYaml:
    """Values of a file, and where they stand.

    Read as YAML 1.2, in which `1e-4` is a number and `no` a word.

    Args:
        file: As errors name it.
        refuse_aliases: For files of others, in which a few lines may stand for gigabytes.

    Raises:
        InvalidInputError: it is no UTF-8 or no YAML, or is not a mapping.
        OSError: it cannot be read.
    """

    def __init__(self, file: Path, *, refuse_aliases: bool = False) -> None:
        self._file = file
        self.text = ""
        """As it is written."""
        try:
            self.text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInputError(
                f"{file}: not UTF-8 at byte {error.start}. Save it so"
            ) from None
        try:
            if refuse_aliases:
                self._refuse_aliases()
            self._root = YAML(typ="rt").load(self.text)
        except MarkedYAMLError as error:
            raise InvalidInputError(self._unreadable(error)) from None
        except YAMLError as error:
            raise InvalidInputError(f"{file}: not YAML: {error}") from None
        if not isinstance(self._root, CommentedMap):
            raise InvalidInputError(f"{file}: must be a mapping, such as `name: kinds`")
        self.value: dict[str, Any] = _plain(self._root)
        """All of it, as JSON would have it."""

    def at(self, place: Sequence[str | int]) -> str:
        """`file:line` of a value, or of what is nearest above it and there."""
        return f"{self._file}:{self.line(place)}"

    def line(self, place: Sequence[str | int]) -> int:
        """The line, from 1."""
        node, line = self._root, 1
        for key in place:
            if isinstance(node, CommentedMap) and key in node:
                line = node.lc.key(key)[0] + 1
            elif isinstance(node, CommentedSeq) and isinstance(key, int) and key < len(node):
                line = node.lc.item(key)[0] + 1
            else:
                break
            node = node[key]
        return line

    def errors(self, found: Iterable[tuple[Place, str]]) -> InvalidInputError:
        """All of them, by their lines."""
        by_line = sorted(found, key=lambda each: self.line(each[0]))
        return InvalidInputError([f"{self.at(place)}: {said}" for place, said in by_line])

    def _refuse_aliases(self) -> None:
        for event in YAML().parse(self.text):
            if isinstance(event, AliasEvent):
                line = event.start_mark.line + 1
                raise InvalidInputError(
                    f"{self._file}:{line}: YAML aliases are not read here. Write values out"
                )

    def _unreadable(self, error: MarkedYAMLError) -> str:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        problem = " ".join(str(error.problem or error.context).split())
        return f"{self._file}:{line}: not YAML: {problem}"


def _plain(node: Any) -> Any:
    """Without what ruamel keeps beside values to write them again."""
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (str, int, float):
        if isinstance(node, kind):
            return kind(node)
    return node.isoformat() if hasattr(node, "isoformat") else str(node)
