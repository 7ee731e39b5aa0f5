"""Reads fields of a YAML document with type checks, collecting every error."""

from collections.abc import Mapping
from typing import Any

import yaml
from modelmill_service_kit.errors import InvalidInputError

from modelmill_trainer.evaluating.tasks.templates import template_errors

MAX_BYTES = 32 * 1024
MAX_DEPTH = 16


class _Loader(yaml.SafeLoader):
    """Plain values only; tags are recorded and not executed."""

    tags: list[str]


def _record_tag(loader: _Loader, suffix: str, _node: yaml.Node) -> None:
    loader.tags.append("!" + suffix)


_Loader.add_multi_constructor("!", _record_tag)


def load_fields(text: str) -> Mapping[str, Any]:
    """Parse the top-level mapping.

    Raises:
        InvalidInputError: it is not a mapping, too large, or has tags or aliases.
    """
    if len(text.encode()) > MAX_BYTES:
        raise InvalidInputError(f"the config is larger than {MAX_BYTES} bytes")
    try:
        _check_shape(text)
        loader = _Loader(text)
        loader.tags = []
        fields = loader.get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidInputError(f"the config is not valid YAML: {_one_line(error)}") from error
    if loader.tags:
        raise InvalidInputError(
            [
                f"{tag[:40]} is not supported: a task runs no code"
                for tag in sorted(set(loader.tags))
            ]
        )
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise InvalidInputError("the config must be a mapping of names to values")
    return fields


def _check_shape(text: str) -> None:
    """Reject aliases and deep nesting while streaming, before values are built."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            # "Billion laughs": a few lines of aliases expand to gigabytes.
            raise InvalidInputError("YAML aliases are not supported. Write values out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            # Parse time grows with the square of the depth.
            raise InvalidInputError(f"the config is nested more than {MAX_DEPTH} deep")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class FieldReader:
    """Pops fields one by one; fields left over are unsupported."""

    def __init__(self, fields: dict[str, Any], errors: list[str]) -> None:
        self.fields = fields
        self.errors = errors

    def any(self, name: str) -> Any:
        """Pop a value; None if it is absent."""
        return self.fields.pop(name, None)

    def text(self, name: str, *, default: str = "", required: bool = False, most: int = 200) -> str:
        value = self.any(name)
        if value is None or (required and value == ""):
            if required:
                self.errors.append(f"{name} is missing")
            return default
        if not isinstance(value, str) or len(value) > most:
            self.errors.append(f"{name} must be a text of at most {most} characters")
            return default
        return value

    def number(self, name: str, *, most: int) -> int:
        value = self.any(name)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            self.errors.append(f"{name} must be a whole number from 0 to {most}")
            return 0
        return value

    def template(self, name: str, *, required: bool = False) -> str:
        text = self.text(name, required=required, most=MAX_BYTES)
        self.errors += [f"{name}: {error}" for error in template_errors(text)]
        return text
