"""Kinds of jobs: what their names become, and who does them."""

import pytest
from modelmill_bus.kinds import KINDS, OWNER_OF
from modelmill_bus.subjects import token
from modelmill_service_kit.errors import InvalidInputError

from tests.changed import ROOT


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_a_word_of_subjects_and_a_service_owns_it(kind: str) -> None:
    where = "libs/bus/src/modelmill_bus/kinds.py"
    try:
        token(kind)
    except InvalidInputError as refusal:
        pytest.fail(f"{where}: {kind!r} cannot stand in a subject: {refusal.message}")
    services = sorted(path.parent.name for path in (ROOT / "services").glob("*/pyproject.toml"))
    owner = OWNER_OF[kind].replace("-", "_")
    assert owner in services, f"{where}: no service {OWNER_OF[kind]!r}; there are {services}"
