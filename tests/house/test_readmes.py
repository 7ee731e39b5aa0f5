"""A README has the chapters of every other and is short; settings and metrics say what they are."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from deploy.site.code_reading import attribute_docs, metrics_of

ROOT = Path(__file__).parents[2]
PARTS = sorted(
    str(file.parent.relative_to(ROOT))
    for folder in ("libs", "services")
    for file in (ROOT / folder).glob("*/pyproject.toml")
)
SERVICES = [part for part in PARTS if part.startswith("services/")]
CHAPTERS = ("In and out", "Settings", "Dependencies", "Decisions")
METRICS = {"Counter", "Gauge", "Histogram"}
MAX_LINES, MAX_CHARACTERS = 150, 120
REFERENCE = re.compile(r"(\.\./\.\./docs/reference/[\w-]+\.md)")
READMES = ["README.md", *(f"{part}/README.md" for part in PARTS)]
MARKDOWN = [
    *READMES,
    *("CHANGELOG.md", "CONTRIBUTING.md", "README.zh.md", "SECURITY.md"),
    *sorted(
        str(file.relative_to(ROOT))
        for folder in ("deploy", "docs", "examples", "tests")
        for file in (ROOT / folder).rglob("*.md")
        if "node_modules" not in file.parts and file.name != "methods.md"
    ),
]
FIGURES = {
    "docs/reference/model-table.md",
    "examples/README.md",
    "examples/safety-classifier/README.md",
    "tests/bench/README.md",
    "tests/clients/README.md",
}
"""Their tables of measurements are wider. `python -m tests.bench.methods` writes `methods.md`."""


def readme(part: str) -> str:
    return (ROOT / part / "README.md").read_text("utf-8")


def chapter(part: str, title: str) -> str:
    return readme(part).partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def with_reference(part: str, text: str) -> str:
    """The text with the reference documents that it links to."""
    files = [ROOT / part / link for link in REFERENCE.findall(text)]
    return "\n".join([text, *(file.read_text("utf-8") for file in files)])


def fields(part: str) -> set[str]:
    """Settings that the part's own class declares, as they are written in an environment."""
    file = next((ROOT / part / "src").glob("*/settings.py"))
    classes = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]
    return {
        node.target.id.upper()
        for each in classes
        for node in each.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def metrics(part: str) -> Iterator[str]:
    for file in (ROOT / part / "src").rglob("*.py"):
        source = file.read_text("utf-8")
        for node in ast.walk(ast.parse(source if any(it in source for it in METRICS) else "")):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                name = node.args[0]
                if node.func.id in METRICS and isinstance(name, ast.Constant):
                    yield str(name.value)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_has_a_name_and_its_chapters_in_one_order(part: str):
    text, name = readme(part), Path(part).name
    places = [text.find(f"\n## {title}\n") for title in CHAPTERS]

    # The name in prose, or as it is imported.
    assert text.partition("\n")[0] in (f"# {name.replace('_', '-')}", f"# {name}")
    assert -1 not in places, CHAPTERS
    assert all(before < after for before, after in pairwise(places)), CHAPTERS


@pytest.mark.parametrize("part", PARTS)
def test_each_dependency_has_its_reason(part: str):
    project = tomllib.loads((ROOT / part / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    requirements = [
        *project["dependencies"],
        *(requirement for extra in extras for requirement in extra),
    ]
    names = [re.split("[<>=;\\[]", requirement)[0].strip() for requirement in requirements]
    ours = "modelmill-"
    written = [
        name.removeprefix(ours).replace("-", "_") if name.startswith(ours) else name
        for name in names
    ]

    text = chapter(part, "Dependencies")
    assert [name for name in written if not re.search(rf"`{name}[`\[]", text)] == []


@pytest.mark.parametrize("part", SERVICES)
def test_each_setting_of_a_services_own_says_what_it_is_where_it_is_declared(part: str):
    """The reference of the documentation is read from there."""
    settings = import_module(f"modelmill_{Path(part).name}.settings").Settings
    said = attribute_docs(settings)
    assert {name.upper() for name in said} == fields(part)
    assert [name for name, text in said.items() if not text] == []


@pytest.mark.parametrize("part", SERVICES)
def test_a_setting_that_is_shown_being_set_has_its_whole_name(part: str):
    """Somebody will copy it: without the service's prefix it changes nothing."""
    shown = re.findall(r"(?<![A-Z_])([A-Z][A-Z_]+)=", with_reference(part, readme(part)))
    assert [name for name in shown if name in fields(part)] == []


def test_compose_reads_what_lets_webhooks_go_to_private_addresses_by_the_gateways_own_name():
    name = "GATEWAY_WEBHOOK_ALLOW_PRIVATE"
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert composed["services"]["gateway"]["environment"][name].startswith(f"${{{name}:-")
    assert name.removeprefix("GATEWAY_") in fields("services/gateway")


@pytest.mark.parametrize("part", PARTS)
def test_each_metric_says_what_it_counts(part: str):
    """The reference of the documentation is read from there."""
    listed = {each.name.removesuffix("_total") for each in metrics_of(part)}
    assert listed == {name.removesuffix("_total") for name in metrics(part)}
    assert [each.name for each in metrics_of(part) if len(each.said.split()) < 3] == []


@pytest.mark.parametrize("file", READMES)
def test_a_readme_has_at_most_150_lines(file: str):
    assert len((ROOT / file).read_text("utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("file", MARKDOWN)
def test_a_line_of_markdown_has_at_most_120_characters(file: str):
    lines = (ROOT / file).read_text("utf-8").splitlines()
    wide = [at for at, line in enumerate(lines, 1) if len(line) > MAX_CHARACTERS]
    wrong = [at for at in wide if file not in FIGURES or not lines[at - 1].startswith("|")]
    assert not wrong, f"{file}: more than {MAX_CHARACTERS} characters in the lines {wrong}"
