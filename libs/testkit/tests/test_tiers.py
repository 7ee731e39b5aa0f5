"""Tiers of tests: assigned by what is started, selected by name, guarded while a test runs."""

import subprocess
import sys
from pathlib import Path

import pytest

HELPERS = """
import importlib
import pytest
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.shared_nats import broker_for, shared_nats

async def site_in(folder):
    async with run_nats(folder):
        yield

@pytest.fixture
async def site(tmp_path):
    async for each in site_in(tmp_path):
        yield

class Product:
    def start(self):  # as code of the product would, which is not read
        importlib.import_module("sub" + "process").run(["true"])

@pytest.fixture
def broker(request, tmp_path):
    return broker_for(request.node, tmp_path)

@pytest.fixture
def product():
    return Product()
"""
TESTS = """
import subprocess
import pytest
from package import start

def test_pure(): pass
def test_names_a_package(): assert start
def test_shares(broker): pass
@pytest.mark.own_broker
def test_kills_its_own(broker): pass
def test_by_helper(site): pass
def test_by_itself(): subprocess.run(["true"])
@pytest.mark.heavy
def test_loads_a_model(): pass
@pytest.mark.tier("journeys")
def test_walks(): pass
@pytest.mark.tier("drills")
def test_marked(): pass
def test_starts_in_the_product(product): product.start()
def test_swallows_the_guard(product):
    try: product.start()
    except Exception: pass
@pytest.mark.tier("test")
def test_may_start(product): product.start()
@pytest.mark.tier("check")
def test_of_check_starts(product): product.start()
"""
PACKAGE = """
import subprocess

def start(): subprocess.run(["true"])
"""
TIERS = {
    "test_pure": "quick",
    "test_names_a_package": "quick",
    "test_shares": "check",
    "test_kills_its_own": "test",
    "test_by_helper": "test",
    "test_by_itself": "test",
    "test_loads_a_model": "test",
    "test_walks": "journeys",
    "test_marked": "drills",
    "test_starts_in_the_product": "quick",
    "test_swallows_the_guard": "quick",
    "test_may_start": "test",
    "test_of_check_starts": "check",
}


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """A folder with tests, and one of drills with the same."""
    packages = "environment/lib/site-packages"
    (tmp_path / packages).mkdir(parents=True)
    (tmp_path / packages / "package.py").write_text(PACKAGE)
    settings = ("drill_folders = storms", "asyncio_mode = auto", f"pythonpath = {packages}")
    (tmp_path / "pytest.ini").write_text("\n".join(("[pytest]", *settings)))
    (tmp_path / "conftest.py").write_text(HELPERS)
    for folder in ("calm", "storms"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"test_{folder}.py").write_text(TESTS)
    return tmp_path


def run(folder: Path, *arguments: str) -> list[str]:
    """Lines that pytest prints of the tests in a folder, with the plugin."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "modelmill_testkit.tiers",
        "-p",
        "no:cacheprovider",
    ]
    ended = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "INTERNALERROR" not in ended.stdout + ended.stderr, ended.stdout
    return (ended.stdout + ended.stderr).splitlines()


def test_the_tier_is_that_of_what_code_and_fixtures_start(tests: Path) -> None:
    lines = [line.split() for line in run(tests, "--collect-only", "-q", "--show-tiers")]
    shown = {
        (line[2].split("/")[0], line[2].split("::")[1]): line[1]
        for line in lines
        if line[:1] == ["tier"]
    }

    assert {name: tier for (folder, name), tier in shown.items() if folder == "calm"} == TIERS
    # Of drills is what starts processes; rules beside them are told at once.
    storms = {name: tier for (folder, name), tier in shown.items() if folder == "storms"}
    assert storms["test_by_helper"] == storms["test_kills_its_own"] == "drills"
    assert storms["test_pure"] == "quick"


@pytest.mark.parametrize(
    ("option", "tiers"),
    [
        ("--tier=quick", {"quick"}),
        ("--tier=check", {"quick", "check"}),
        ("--tier=test", {"quick", "check", "test"}),
        ("--only-tier=journeys", {"journeys"}),
        ("--only-tier=drills", {"drills"}),
    ],
)
def test_a_tier_includes_those_before_it(tests: Path, option: str, tiers: set[str]) -> None:
    lines = run(tests / "calm", "--collect-only", "-q", option)
    selected = {line.split("::")[1] for line in lines if "::" in line}

    assert selected == {name for name, tier in TIERS.items() if tier in tiers}


def test_what_starts_a_process_in_a_quick_tier_fails(tests: Path) -> None:
    lines = run(tests, "calm", "--tier=test", "-rA", "-q")
    failed = {
        line.split("::")[1].split()[0] for line in lines if line.startswith(("FAILED", "ERROR"))
    }

    assert failed == {
        "test_starts_in_the_product",
        "test_swallows_the_guard",
        "test_of_check_starts",
    }
    assert "pytest.mark.tier('test')" in "\n".join(lines)


STRANGER = """
import nats
import pytest

@pytest.mark.filterwarnings("ignore")
async def test_a_stranger(broker):
    async with broker as server:
        try:
            await nats.connect(server.url, token="wrong", allow_reconnect=False)
        except nats.errors.Error:
            raise AssertionError("it was refused")
"""


def test_a_failed_test_shows_what_the_brokers_complained_of(tests: Path) -> None:
    (tests / "calm" / "test_it.py").write_text(STRANGER)
    lines = run(tests, "calm/test_it.py", "-n", "1", "-q")

    assert any("1 failed" in line for line in lines)
    assert any("[ERR]" in line and "authentication error" in line for line in lines)


@pytest.mark.parametrize(
    ("library", "without", "with_it"), [("torch", "check", "test"), ("openai", "quick", "check")]
)
def test_quicker_tiers_do_not_even_import_what_loads_a_large_library(
    tests: Path, library: str, without: str, with_it: str
) -> None:
    (tests / "calm" / "test_it.py").write_text(f"import {library}\n\ndef test_it(): pass\n")
    # In place of the real one: who imports it is told.
    (tests / f"{library}.py").write_text("raise RuntimeError('imported')\n")

    for tier, is_imported in ((without, False), (with_it, True)):
        lines = run(tests, "calm", f"--tier={tier}", "--co")
        assert any("imported" in line for line in lines) is is_imported


@pytest.mark.parametrize(
    ("marks", "without", "with_it"),
    [
        ('pytest.mark.tier("test")', "check", "test"),
        ('[\n    pytest.mark.timeout(9),\n    pytest.mark.tier("check"),\n]', "quick", "check"),
        ("[pytest.mark.heavy, pytest.mark.timeout(9)]", "check", "test"),
    ],
)
def test_quicker_tiers_do_not_even_import_what_marks_all_of_itself(
    tests: Path, marks: str, without: str, with_it: str
) -> None:
    source = f"import pytest\npytestmark = {marks}\n\n"
    (tests / "calm" / "test_it.py").write_text(f"{source}raise RuntimeError('imported')\n")

    for tier, is_imported in ((without, False), (with_it, True)):
        lines = run(tests, "calm", f"--tier={tier}", "--co")
        assert any("imported" in line for line in lines) is is_imported


def test_a_quicker_test_in_a_module_that_marks_all_of_itself_is_found(tests: Path) -> None:
    (tests / "calm" / "test_it.py").write_text(
        'import pytest\npytestmark = pytest.mark.tier("test")\n\n'
        '@pytest.mark.tier("quick")\ndef test_swift(): pass\n'
    )

    assert any("test_swift" in line for line in run(tests, "calm", "--tier=quick", "--co"))


def test_an_unknown_tier_is_refused(tests: Path) -> None:
    (tests / "calm" / "test_typo.py").write_text(
        "import pytest\n@pytest.mark.tier('fast')\ndef test_it(): pass\n"
    )

    said = "\n".join(run(tests, "calm", "-q"))
    assert "test_typo.py::test_it: no tier 'fast'" in said
