"""Secrets of services come in files: others can read what is in a process's environment."""

import os
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from modelmill_service_kit.errors import PreconditionError

SUFFIX = "_FILE"


class SecretFiles(PydanticBaseSettingsSource):
    """For each secret NAME of the settings, the content of the file that `NAME_FILE` names.

    White space around it is not part of it. An empty variable names no file.

    Raises:
        PreconditionError: a file cannot be read, or NAME is given as well.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The secret, or None without a file for it."""
        if not _is_secret(field):
            return None, field_name, False
        name = f"{self.config.get('env_prefix', '')}{field_name}".upper()
        file = os.environ.get(f"{name}{SUFFIX}")
        if not file:
            return None, field_name, False
        if os.environ.get(name):
            raise PreconditionError(f"{name} and {name}{SUFFIX} are both set. Give one of them")
        return secret_in(Path(file), f"{name}{SUFFIX}"), field_name, False

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        found = {name: self.get_field_value(field, name)[0] for name, field in fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def secret_in(file: Path, named_by: str) -> str:
    """What is in the file, without white space around it.

    Raises:
        PreconditionError: it cannot be read; the message says which variable named it.
    """
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise PreconditionError(f"{named_by}: cannot read {file}: {why}") from error


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)
