"""Loads policies from YAML files."""

from pathlib import Path

from modelmill_guard.bundle import Bundle, compile_policy
from modelmill_guard.policy import PolicyError, parse_policy
from modelmill_service_kit.errors import InvalidInputError


def load_policy(path: Path) -> Bundle:
    """Compile a YAML file, or all `*.yaml` of a folder as one policy.

    Raises:
        InvalidInputError: There is no file, or they are invalid; lists every error.
        OSError: A file cannot be read.
    """
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise InvalidInputError(f"{path} has no *.yaml policy")
    try:
        return compile_policy(parse_policy({f.name: f.read_text("utf-8") for f in files}))
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"a policy in {path} is not UTF-8: {error}") from error
    except PolicyError as error:
        raise InvalidInputError(error.errors) from error
