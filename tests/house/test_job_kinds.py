"""Kinds of jobs: what their names become, and who does them."""

import json
import re
from importlib import import_module

import pytest
from modelmill_bus.kinds import KINDS, OWNER_OF, kinds_of
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


@pytest.mark.parametrize("service", sorted({*OWNER_OF.values()}))
def test_a_service_has_a_handler_of_each_kind_and_gives_it_to_its_worker(service: str) -> None:
    package = f"modelmill_{service.replace('-', '_')}"
    module = import_module(f"{package}.entrypoints.jobs")
    handlers = {
        made.kind: name
        for name, made in vars(module).items()
        if isinstance(made, type) and hasattr(made, "kind")
    }
    assert {*handlers} == {*kinds_of(service)}, f"of {module.__file__} and kinds.py"

    where = ROOT / "services" / package.removeprefix("modelmill_") / "src" / package / "main.py"
    for name in handlers.values():
        assert f"{name}(" in where.read_text("utf-8"), f"{where}: give {name} to the Worker"


def test_the_console_shows_each_kind() -> None:
    page = ROOT / "services/gateway/console/src/pages/jobs.tsx"
    (kinds,) = re.findall(r"^const KINDS = (\[.*\]);$", page.read_text("utf-8"), re.MULTILINE)
    assert {*json.loads(kinds)} == {*KINDS}, f"{page}: KINDS"
