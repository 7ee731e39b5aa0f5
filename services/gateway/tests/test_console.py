"""The gateway serves the web console that was built, so that nothing of others runs in it."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_support.document import document
from gateway_support.house import House, run_house

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = b"1" * 1000
SOURCE = Path(__file__).parents[1] / "console" / "src"
LOCALES = SOURCE / "locales"
HINTS = LOCALES / "hints"
LEFT_OUT = re.compile(r"LEFT_OUT\w* = \[(.*?)\]", re.DOTALL)
FORMS = {
    "train": ("FineTuningBody", "trainings.ts"),
    "evaluate": ("EvaluationBody", "order_estimates.ts"),
    "optimize": ("OptimizationBody", "order_estimates.ts"),
}
"""The schema that a form is of, and the code that leaves fields out, by the names of hints."""


@pytest.fixture
def console(tmp_path: Path) -> Path:
    """A console like that of `make console`."""
    folder = tmp_path / "built"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "assets" / "index-Ab12.js").write_bytes(SCRIPT)
    (folder / "assets" / "index-Ab12.js.gz").write_bytes(gzip.compress(SCRIPT))
    return folder


async def test_its_page_runs_no_inline_script_and_can_be_framed_by_nobody(
    console: Path, tmp_path: Path
):
    async with run_house(tmp_path, console_folder=console) as house, house.http() as client:
        client.headers.pop("authorization")
        page = await client.get("/console", follow_redirects=True)

    assert page.url.path == "/console/index.html"
    policy = page.headers["content-security-policy"]
    for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
        assert rule in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_hashed_files_are_kept_for_ever_and_the_page_is_asked_for_again(
    console: Path, tmp_path: Path
):
    async with run_house(tmp_path, console_folder=console) as house, house.http() as client:
        page = await client.get("/console/index.html")
        script = await client.get("/console/assets/index-Ab12.js")

    assert page.headers["cache-control"] == "no-cache"
    assert "immutable" in script.headers["cache-control"]
    assert script.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    ("accepted", "is_small"),
    [("gzip, br", True), ("br;q=1, gzip;q=0.5", True), ("gzip;q=0", False), ("identity", False)],
)
async def test_files_are_compressed_for_who_takes_that(
    console: Path, tmp_path: Path, accepted: str, *, is_small: bool
):
    async with run_house(tmp_path, console_folder=console) as house, house.http() as client:
        headers = {"accept-encoding": accepted}
        script = await client.get("/console/assets/index-Ab12.js", headers=headers)

    assert ("content-encoding" in script.headers) is is_small
    assert script.headers["vary"] == "accept-encoding"
    assert script.content == SCRIPT


@pytest.mark.parametrize(
    "path",
    ["/console/assets/index-Ab12.js.gz", "/console/../settings.py", "/console/assets/missing.js"],
)
async def test_nothing_but_files_of_the_console_is_served(console: Path, tmp_path: Path, path: str):
    async with run_house(tmp_path, console_folder=console) as house, house.http() as client:
        assert (await client.get(path)).status_code == 404


async def test_where_no_console_was_built_one_line_says_how(house: House):
    async with house.http() as client:
        answer = await client.get("/console")

    assert answer.status_code == 404
    assert "make console" in answer.json()["error"]["message"]


async def test_both_languages_have_the_same_messages_with_the_same_values():
    catalogs = [json.loads(file.read_text("utf-8")) for file in sorted(LOCALES.glob("*.json"))]
    english, chinese = (
        {key: sorted(re.findall(r"\{\w+\}", said)) for key, said in each.items()}
        for each in catalogs
    )
    assert english == chinese
    assert all(said.strip() for each in catalogs for said in each.values())


def branches_of(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Schemas of which one has to fit, without references."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from branches_of(document()["components"]["schemas"][name])
    elif "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from branches_of(each)
    else:
        yield schema


def fields_of(form: str) -> dict[str, str]:
    """What a person reads of a form's fields in English, by their paths."""
    name, source = FORMS[form]
    found = LEFT_OUT.search((SOURCE / "api" / source).read_text("utf-8"))
    left_out = {*re.findall(r'"([\w.]+)"', found[1])} if found else set[str]()
    return dict(described_fields(document()["components"]["schemas"][name], left_out))


def described_fields(
    schema: dict[str, Any], left_out: set[str], group: str = ""
) -> Iterator[tuple[str, str]]:
    """Fields that a form of the schema shows with a description: path and description."""
    for name, own in schema["properties"].items():
        path = f"{group}.{name}" if group else name
        branches = [*branches_of(own)]
        listed = [one for each in branches for one in branches_of(each.get("items", {}))]
        inner = [each for each in (*branches, *listed) if "properties" in each]
        if path in left_out:
            continue
        if inner:
            yield from described_fields(inner[0], left_out, path)
        elif own.get("description") and all(each.get("type") != "object" for each in branches):
            yield path, own["description"]


def hints(form: str, language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((HINTS / f"{form}.{language}.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize(
    ("form", "some"),
    [
        ("train", {"model", "hyperparameters.lora_rank", "limits.patience"}),
        ("evaluate", {"compare_to", "measures", "slices.by", "protections.worst", "tasks.config"}),
        ("optimize", {"target_form", "objective.p95_ms", "load.in_flight"}),
    ],
)
async def test_every_field_of_a_form_has_a_hint_in_chinese_and_no_hint_is_left_over(
    form: str, some: set[str]
):
    wanted, chinese = set(fields_of(form)), hints(form, "zh")

    assert some < wanted
    assert sorted(wanted ^ set(chinese)) == []
    assert all(re.search(r"[\u4e00-\u9fff]", hint) for hint in chinese.values())


@pytest.mark.parametrize("form", FORMS)
async def test_no_hint_is_the_translation_of_an_english_one_that_has_changed(form: str):
    """Who changes a description looks at its Chinese hint, and keeps the new English beside it."""
    translated, said = hints(form, "en"), fields_of(form)
    changed = {path: text for path, text in said.items() if translated.get(path) != text}
    assert changed == {}, f"mend these in {form}.zh.json, then keep them in {form}.en.json"
    assert set(translated) == set(said)
