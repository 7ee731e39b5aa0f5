"""An audit has a verdict only when a source of advisories answered for every package."""

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.version import Version

from deploy.supply import audit
from deploy.supply import locked as locks
from deploy.supply.advisories import affects

pytestmark = pytest.mark.tier("test")
Run = Callable[..., tuple[int, str, str]]
ESCAPE = {
    "id": "PYSEC-2019-217",
    "schema_version": "1.4.0",
    "aliases": ["CVE-2016-10745"],
    "summary": "Templates leave the sandbox.",
    "affected": [
        {
            "package": {"name": "Jinja2", "ecosystem": "PyPI"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.8.1"}]},
            ],
            "versions": ["2.4.1"],
        }
    ],
}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """What is to be audited: two sound packages."""
    file = tmp_path / "lock.txt"
    file.write_text("jinja2==3.1.6\nidna==3.10\n")
    return file


@pytest.fixture
def run(lock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["audit", *arguments, "--", str(lock)])
        status = audit.main()
        return status, *capsys.readouterr()

    return run


def write(folder: Path, advisory: dict, *, days_old: float = 1) -> None:
    folder.mkdir(exist_ok=True)
    modified = datetime.now(UTC) - timedelta(days=days_old)
    text = json.dumps({"modified": modified.isoformat().replace("+00:00", "Z")} | advisory)
    (folder / f"{advisory['id']}.json").write_text(text)


@contextmanager
def answering(answers: list[tuple[int, dict]]) -> Iterator[str]:
    """An interface of OSV that gives these answers in turn, and then the last one again."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def test_sound_packages_pass_by_a_folder_of_advisories(run: Run, tmp_path: Path):
    write(tmp_path / "osv", ESCAPE)

    status, said, _ = run("--advisories", str(tmp_path / "osv"))

    assert (status, said.splitlines()[-1][:23]) == (0, "0 known vulnerabilities")


def test_a_known_vulnerability_is_named_with_what_mends_it(run: Run, lock: Path, tmp_path: Path):
    write(tmp_path / "osv", ESCAPE)
    lock.write_text("jinja2==2.7\nidna==3.10\n")

    status, said, _ = run("--advisories", str(tmp_path / "osv"))

    assert status == 1
    assert "jinja2 2.7: PYSEC-2019-217 (CVE-2016-10745), mended in 2.8.1" in said
    assert run("--advisories", str(tmp_path / "osv"), "--accept", "PYSEC-2019-217")[0] == 0


def test_without_a_source_that_answers_there_is_no_verdict(run: Run):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1/query"
        status, said, refused = run("--osv-url", url)

    assert (status, said) == (2, "")
    assert "did not answer" in refused
    assert "a folder of advisories in OSV's form: --advisories FOLDER" in refused


def test_a_source_that_knows_nothing_of_an_old_vulnerability_is_none(run: Run):
    with answering([(200, {})]) as url:
        status, said, refused = run("--osv-url", url)

    assert (status, said) == (2, "")
    assert "knows of none for jinja2==2.4.1, of which there are several: it is not one" in refused


def test_a_source_that_fails_on_the_way_gives_no_verdict(run: Run):
    with answering([(200, {"vulns": [ESCAPE]}), (200, {}), (503, {})]) as url:
        status, said, refused = run("--osv-url", url)

    assert (status, said) == (2, "")
    assert "did not answer" in refused


def test_a_package_that_this_machine_would_not_install_and_an_image_does_is_named(
    run: Run, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "osv", ESCAPE)
    monkeypatch.setitem(locks.IMAGE, "platform_machine", "pdp11")
    lock.write_text("jinja2==3.1.6\nidna==3.10 ; platform_machine == 'pdp11'\n")

    status, said, refused = run("--advisories", str(tmp_path / "osv"))

    assert (status, said) == (2, "")
    assert "nothing was said of idna 3.10. Give it" in refused


def test_another_version_than_the_one_of_an_image_is_no_answer_for_it(
    run: Run, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "osv", ESCAPE)
    monkeypatch.setitem(locks.IMAGE, "platform_machine", "pdp11")
    lock.write_text(
        "jinja2==2.7 ; platform_machine == 'pdp11'\njinja2==3.1.6 ; platform_machine != 'pdp11'\n"
    )

    status, said, refused = run("--advisories", str(tmp_path / "osv"))

    assert (status, said) == (2, "")
    assert "nothing was said of jinja2 2.7. Give it" in refused


SKIPPING = """
import json, sys
if "--strict" in sys.argv:
    sys.exit("what is skipped ends it")
known = {"name": "jinja2", "version": "3.1.6", "vulns": []}
skipped = {"name": "idna", "skip_reason": "Dependency not found on PyPI"}
probe = known | {"version": "2.4.1", "vulns": [{"id": "A", "aliases": [], "fix_versions": []}]}
is_probe = sys.argv[-1].endswith("probe.txt")
print(json.dumps({"dependencies": [probe] if is_probe else [known, skipped]}))
"""
"""Speaks as pip-audit does of a package that its source does not have."""


def test_a_package_that_the_source_skips_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "modules" / "pip_audit").mkdir(parents=True)
    (tmp_path / "modules" / "pip_audit" / "__init__.py").touch()
    (tmp_path / "modules" / "pip_audit" / "__main__.py").write_text(SKIPPING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))

    status, said, refused = run()

    assert (status, said) == (2, "")
    assert "nothing was said of idna 3.10. Give it" in refused


def test_a_lock_that_cannot_be_read_is_refused_before_anybody_is_asked(run: Run, lock: Path):
    lock.write_text("jinja2>=3\n")

    status, said, refused = run()

    assert (status, said) == (2, "")
    assert "'jinja2>=3', which is no package with its version. Run make lock" in refused


def broken(folder: Path) -> None:
    write(folder, ESCAPE)
    (folder / "b.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: None, "has no advisories of PyPI. Unpack an export"),
        (lambda folder: folder.mkdir(), "has no advisories of PyPI. Unpack an export"),
        (lambda folder: write(folder, ESCAPE, days_old=30), "is 30 days old. Get a newer export"),
        (broken, "is no advisory in OSV's form. Unpack the export again"),
    ],
)
def test_a_folder_that_is_empty_old_or_broken_is_no_source(
    run: Run, tmp_path: Path, spoil: Callable[[Path], object], said: str
):
    spoil(tmp_path / "osv")

    status, out, refused = run("--advisories", str(tmp_path / "osv"))

    assert (status, out) == (2, "")
    assert said in refused


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.1", True),
        ("2.8", True),
        ("2.8.1", False),
        ("2.4.1", True),
        ("3.1", True),
        ("3.2", False),
    ],
)
def test_a_version_is_affected_by_the_ranges_and_versions_of_an_advisory(
    version: str, expected: bool
):
    events = [{"introduced": "3.0"}, {"last_affected": "3.1"}]
    span = {"type": "ECOSYSTEM", "events": events}
    (affected,) = ESCAPE["affected"]
    advisory = ESCAPE | {"affected": [affected | {"ranges": [*affected["ranges"], span]}]}

    assert affects(advisory, "jinja2", Version(version)) is expected
    assert not affects(advisory | {"withdrawn": "2020-01-01"}, "jinja2", Version(version))


@pytest.mark.parametrize("kind", ["fixed", "last_affected"])
def test_a_version_counts_as_affected_where_a_bound_cannot_be_compared(kind: str) -> None:
    span = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {kind: "2.8-final.build"}]}
    advisory = ESCAPE | {
        "affected": [{"package": ESCAPE["affected"][0]["package"], "ranges": [span]}]
    }

    assert affects(advisory, "jinja2", Version("1.0"))
