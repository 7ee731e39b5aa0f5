"""What the lock of the development environment must not bring along."""

from pathlib import Path

LOCK = Path(__file__).parents[2] / "constraints.txt"
SLOW_FORMATS = "rfc3987-syntax"
"""Where it is installed, jsonschema imports it, and it compiles grammars for a second: in each
process of the gateway, and in each worker of a test run."""


def test_the_lock_has_no_formats_of_jsonschema_that_take_a_second_to_import() -> None:
    locked = {line.partition("==")[0] for line in LOCK.read_text("utf-8").splitlines()}

    assert "jsonschema" in locked
    assert SLOW_FORMATS not in locked
