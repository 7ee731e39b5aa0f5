"""`mill console` and a browser: the page that it writes leads to a console that is signed in."""

import os
from pathlib import Path

import pytest
from modelmill_cli.app import run_app
from modelmill_cli.keys import AUDIENCE, ISSUER, LocalKeys
from modelmill_cli.state_folder import Runtime, StateFolder
from playwright.sync_api import expect

from tests.browser.live_gateway import built_console, live_gateway
from tests.browser.watched_page import WatchedPage


def instance(folder: Path) -> StateFolder:
    """A state folder with a signing key, as `mill up` makes it."""
    state = StateFolder(folder)
    with state.locked():
        LocalKeys(state.keys).ensure()
    return state


def tell_where(state: StateFolder, url: str) -> None:
    """What `mill up` writes once it answers."""
    runtime = Runtime(
        pid=os.getpid(),
        http_url=url,
        nats_url="",
        nats_seeds="",
        service_secret="",
        artifact_root="",
        grpc_ports={},
        metrics_ports={},
        pids={},
    )
    state.write_runtime(runtime)


def test_the_page_that_mill_console_writes_leads_to_a_console_that_is_signed_in(
    watched: WatchedPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("USER", "grace")
    state = instance(tmp_path / "state")
    trusted = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    trusted["jwks_path"] = str(LocalKeys(state.keys).jwks_file)
    with live_gateway(tmp_path, console_folder=built_console(), **trusted) as gateway:
        tell_where(state, gateway.url)
        assert run_app(["--state", str(state.path), "console", "--no-open"]) == 0

        watched.open_address(state.console_page.as_uri(), wait_until="load")

        page = watched.page
        expect(page.get_by_text("demo · grace")).to_be_visible()
        expect(page.get_by_role("heading", name="Home")).to_be_visible()
        assert page.url == f"{gateway.url}/console/index.html#/"
        assert [each for each in watched.requests if "token=" in each] == []
        assert watched.complaints == []
