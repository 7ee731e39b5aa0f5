"""`mill console`: what a browser is given, and what other users of the machine can see of it."""

import html
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app
from modelmill_cli.keys import ALL_SCOPES, LocalKeys
from modelmill_cli.state_folder import Runtime, StateFolder


class Gateway(ThreadingHTTPServer):
    """Has a console, unless it was not built."""

    daemon_threads = True
    has_console = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        self.answer(b"", 307 if self.server.has_console else 404)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as serving:
        monkeypatch.delenv("MODELMILL_URL")
        monkeypatch.delenv("MODELMILL_TOKEN")
        yield serving


@pytest.fixture
def state(gateway: Gateway, tmp_path: Path) -> StateFolder:
    """An instance whose gateway is that one."""
    folder = StateFolder(tmp_path / "state")
    with folder.locked():
        pass
    LocalKeys(folder.keys).ensure()
    none: dict[str, Any] = {"nats_url": "", "nats_seeds": "", "service_secret": ""}
    none |= {"artifact_root": "", "grpc_ports": {}, "metrics_ports": {}, "pids": {}}
    url = f"http://127.0.0.1:{gateway.server_port}"
    folder.write_runtime(Runtime(pid=os.getpid(), http_url=url, **none))
    return folder


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the browser of this machine writes the arguments that it is started with."""
    seen, program = tmp_path / "arguments", tmp_path / "browser"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nopen({str(seen)!r}, 'w').write(' '.join(sys.argv[1:]))\n"
    )
    program.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{program} %s")
    return seen


def led_to(page: Path) -> str:
    found = re.search(r'url=([^"]+)"', page.read_text())
    assert found is not None
    return html.unescape(found[1])


def mill(state: StateFolder, *words: str) -> int:
    return run_app(["--state", str(state.path), *words])


@pytest.mark.tier("test")
def test_a_browser_is_led_to_the_console_with_a_token_that_no_command_line_has(
    state: StateFolder, gateway: Gateway, browser: Path
):
    assert mill(state, "console") == 0

    assert browser.read_text() == state.console_page.as_uri()
    assert stat.S_IMODE(state.console_page.stat().st_mode) == 0o600
    address, _, token = led_to(state.console_page).partition("#token=")
    assert address == f"http://127.0.0.1:{gateway.server_port}/console/index.html"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["scope"] == " ".join(ALL_SCOPES)
    ends = datetime.fromtimestamp(claims["exp"], UTC) - datetime.now(UTC)
    assert timedelta(hours=11) < ends <= timedelta(hours=12)


def test_an_operator_is_signed_in_with_the_scope_of_operators_and_no_other(state: StateFolder):
    assert mill(state, "console", "--no-open", "--operator") == 0

    token = led_to(state.console_page).partition("#token=")[2]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["tenant"], claims["scope"]) == ("operators", "operator")


def test_no_operator_of_another_gateway_is_signed_in(
    state: StateFolder,
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("MODELMILL_URL", f"http://127.0.0.1:{gateway.server_port}")

    assert mill(state, "console", "--no-open", "--operator") == 2

    assert "Sign in yourself" in capsys.readouterr().err


def test_no_token_is_printed(state: StateFolder, capsys: pytest.CaptureFixture[str]):
    assert mill(state, "console", "--no-open", "--json") == 0

    said = capsys.readouterr().out
    assert json.loads(said)["address"] == state.console_page.as_uri()
    assert led_to(state.console_page).partition("#token=")[2] not in said


def test_the_page_is_gone_when_the_instance_has_ended(state: StateFolder):
    assert mill(state, "console", "--no-open") == 0
    assert state.console_page.exists()

    with state.locked():
        pass

    assert not state.console_page.exists()


def test_another_gateway_gets_no_token_of_ours(
    state: StateFolder,
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    url = f"http://127.0.0.1:{gateway.server_port}"
    monkeypatch.setenv("MODELMILL_URL", url)

    assert mill(state, "console", "--no-open", "--json") == 0

    assert json.loads(capsys.readouterr().out)["address"] == f"{url}/console"
    assert not state.console_page.exists()


def test_a_gateway_without_a_console_is_told_with_the_remedy(
    state: StateFolder, gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    gateway.has_console = False

    assert mill(state, "console", "--no-open") == 2

    assert "make console" in capsys.readouterr().err
    assert not state.console_page.exists()
