"""The reference that the site reads from the code has all of it, and pages lead to each other."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from modelmill_bus.asyncapi import asyncapi_document
from modelmill_data_prep.domain.entities.entity_plan import TYPES
from modelmill_data_prep.domain.filtering.filter_plan import THRESHOLDS
from modelmill_gateway.domain.routes import ROUTES, Body
from modelmill_gateway.entrypoints.document.refusals import REFUSALS
from modelmill_guard.detectors import DETECTOR_NAMES

from deploy.site.pages import page_text, pages_of_tree
from deploy.site.reference import REFERENCE_FILES, REFERENCE_PAGES, REMEDIES, SERVICES
from tests.docs.blocks import ROOT


def page(name: str) -> str:
    return REFERENCE_PAGES[f"reference/{name}.md"]()


def test_each_route_is_there_with_its_body():
    text = page("api")
    for route in ROUTES:
        shown = text.partition(f'<details id="{route.name}">')[2].partition("</details>")[0]
        assert f"<b>{route.method}</b> {route.template}" in shown, route.name
        assert ("<h4>body</h4>" in shown) == (route.body is not Body.NONE), route.name


def test_each_subject_threshold_type_and_detector_is_there():
    assert {f"\n## {name}\n" for name in asyncapi_document()["channels"]} <= {
        f"\n## {name}\n" for name in re.findall(r"^## (.*)$", page("bus"), re.MULTILINE)
    }
    names = {*(it.name for it in THRESHOLDS), *TYPES}
    assert [name for name in names if f"`{name}`" not in page("data")] == []
    assert [name for name in DETECTOR_NAMES if f"`{name}`" not in page("policy")] == []


def test_each_setting_is_there_under_its_whole_name():
    text = page("settings")
    for service in SERVICES:
        settings = import_module(f"modelmill_{service}.settings").Settings
        prefix = settings.model_config["env_prefix"]
        own = settings.__annotations__.keys() & settings.model_fields.keys()
        assert [name for name in own if f"`{prefix}{name.upper()}`" not in text] == []


@pytest.mark.tier("test")
def test_each_status_has_a_remedy_and_each_code_is_there_once():
    text = page("errors")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", text, re.MULTILINE)

    assert REFUSALS.keys() <= REMEDIES.keys()
    assert {"rate_limit_exceeded", "model_not_found", "content_policy_violation"} <= {
        name for name, _ in rows
    }
    assert len(rows) == len({*rows})


def test_a_command_is_there_with_its_options():
    shown = page("commands").partition("\n## mill run\n")[2].partition("\n## ")[0]
    assert "| `RECIPE` |" in shown
    assert "| `--plan` |" in shown


@pytest.mark.parametrize("name", REFERENCE_FILES)
def test_a_document_for_programs_is_json(name: str):
    assert json.loads(REFERENCE_FILES[name]())


def test_links_between_documents_become_links_between_pages(tmp_path: Path):
    pages = pages_of_tree()
    assert pages["README.md"] == "index.md"
    assert pages["libs/bus/README.md"] == "parts/libs/bus.md"
    assert "(tutorial.md)" in page_text("README.md", pages)
    assert "not run" not in page_text("docs/tutorial.md", pages)
    # Headings stand for what is read from the code.
    assert "(../reference/data.md)" in page_text("docs/how-to/data-formats.md", pages)
    assert "(../../reference/data.md)" in page_text("docs/zh/how-to/data-formats.md", pages)
    assert (ROOT / "docs" / "reference" / "index.md").is_file()
