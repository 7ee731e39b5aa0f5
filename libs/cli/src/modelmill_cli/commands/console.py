"""`mill console`: the web console in a browser of this machine, signed in."""

import os
import webbrowser
from datetime import timedelta
from html import escape
from typing import Annotated

import httpx
import typer
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.gateway import console_token
from modelmill_cli.output import AsJson, print_done
from modelmill_cli.state_folder import StateFolder, write_private

LIFE = timedelta(hours=12)
"""Of the token that a console is opened with: a day's work."""
MISSING = 404
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>Modelmill</title>
<a href="{address}">Open the console</a>
</html>
"""
"""Leads to the console with a token. The browser's command line, which all users of the machine can
read, has the name of this file alone, which only its owner can."""


def console(
    context: typer.Context,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Only print what to open in a browser.")
    ] = False,
    operator: Annotated[
        bool,
        typer.Option("--operator", help="Sign in as whoever runs it, for services and tenants."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Open the web console in a browser; that of this machine's own instance signed in.

    With MODELMILL_URL it is that gateway's, where you sign in yourself.
    """
    state: StateFolder = context.obj
    elsewhere = os.environ.get("MODELMILL_URL", "").rstrip("/")
    url = f"{elsewhere or state.read_runtime().http_url}/console"
    _require_console(url)
    if operator and elsewhere:
        raise PreconditionError("--operator is for the instance of this machine. Sign in yourself")
    address = url if elsewhere else _signed_in(state, url, operator=operator)
    is_open = not no_open and webbrowser.open(address)
    words = f"opened {url}" if is_open else f"open in a browser of this machine: {address}"
    print_done({"url": url, "address": address, "opened": is_open}, words, as_json=as_json)


def _require_console(url: str) -> None:
    """Raise PreconditionError where the gateway has none, or does not answer."""
    try:
        answer = httpx.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = str(error).rstrip(".")
        raise PreconditionError(f"{url} does not answer: {said}. Check that it runs") from error
    if answer.status_code == MISSING:
        raise PreconditionError(
            f"the gateway at {url} has no web console. Build it with `make console`, which needs"
            " Node, and start the gateway again"
        )


def _signed_in(state: StateFolder, url: str, *, operator: bool) -> str:
    """Address of a file of the owner's that leads to the console with a token.

    The token stands behind `#`: no browser sends this part of an address to a server.
    """
    token = console_token(state, LIFE, operator=operator)
    page = PAGE.format(address=escape(f"{url}/index.html#token={token}"))
    write_private(state.console_page, page.encode())
    return state.console_page.as_uri()
