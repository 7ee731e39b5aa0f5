"""Dataclasses that cross a process boundary, or enter a manifest, as JSON."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import TypeAdapter


class JsonValue:
    """Mixin of a dataclass whose fields pydantic can write and read."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `from_json` reads them."""
        plain: dict[str, Any] = TypeAdapter(type(self)).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `as_json` wrote."""
        value: Self = TypeAdapter(cls).validate_python(document)
        return value
