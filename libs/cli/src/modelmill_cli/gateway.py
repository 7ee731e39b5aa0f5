"""Connection to the gateway: where it is, and the token that is shown to it."""

import os
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import typer
from modelmill_client import Modelmill, ModelmillError, Retries
from modelmill_service_kit.nearest import did_you_mean

from modelmill_cli.keys import ALL_SCOPES, LOCAL_LIFE, OPERATOR, LocalKeys
from modelmill_cli.state_folder import StateFolder

DEFAULT_TENANT = "demo"
OPERATORS = "operators"
"""Tenant of whoever runs the installation; has nothing but the audit log of what they change."""
SHARED = "shared"
"""Owner of what every tenant may use."""
WARNING_SECONDS = 2.0
DEFAULT_MODEL = "default"
"""What the gateway asks where nobody names a model, if it is not told otherwise."""


def connect(state: StateFolder) -> Modelmill:
    """A client of MODELMILL_URL when set, else of what runs on the folder.

    MODELMILL_TOKEN says who asks; what runs on the folder takes a token of its own without one.

    Raises:
        PreconditionError: neither.
        SetupError: a URL without a token, or none that is an address.
    """
    if os.environ.get("MODELMILL_URL"):
        return Modelmill()
    url = state.read_runtime().http_url
    return Modelmill(url) if os.environ.get("MODELMILL_TOKEN") else connect_locally(state, url)


def own_tenant(state: StateFolder) -> str:
    """The tenant of who asks; this machine's own user has the one of `mill up`."""
    if not os.environ.get("MODELMILL_TOKEN"):
        return DEFAULT_TENANT
    with connect(state) as client:
        return str(client.me.retrieve()["tenant"])


def warn_of_unknown_tenant(state: StateFolder, tenant: str) -> None:
    """Say that nobody created a tenant: it would begin with what a misspelt name is given."""
    if tenant in (DEFAULT_TENANT, OPERATORS, SHARED):
        return
    # A gateway that hangs does not hold up what needs no gateway.
    limits = {"timeout": WARNING_SECONDS, "retries": Retries(times=0)}
    with suppress(ModelmillError), connect_as_operator(state, **limits) as client:
        known = [each["id"] for each in client.tenants.list()]
        if tenant not in known:
            words = f"no tenant {tenant!r} was created.{did_you_mean(tenant, known)}"
            typer.echo(f"warning: {words} `mill tenants list` lists those there are", err=True)


def connect_locally(state: StateFolder, url: str) -> Modelmill:
    """A client of an instance on this machine; its token is renewed for as long as it is used."""
    return Modelmill(url, partial(local_token, state))


def local_token(state: StateFolder) -> str:
    """A token with every scope of a tenant, for this machine's own user."""
    return _issue(state, DEFAULT_TENANT, ALL_SCOPES)


def console_token(state: StateFolder, life: timedelta, *, operator: bool = False) -> str:
    """The same, or an operator's, for the web console, which cannot renew it."""
    tenant, scopes = (OPERATORS, (OPERATOR,)) if operator else (DEFAULT_TENANT, ALL_SCOPES)
    return _issue(state, tenant, scopes, life)


def connect_as_operator(state: StateFolder, **limits: Any) -> Modelmill:
    """As `connect`; on this machine with a token that has the scope `operator` and no other.

    Args:
        limits: `timeout` and `retries` of the client.
    """
    if os.environ.get("MODELMILL_URL"):
        return Modelmill(**limits)
    url = state.read_runtime().http_url
    return Modelmill(url, partial(_issue, state, OPERATORS, (OPERATOR,)), **limits)


def _issue(
    state: StateFolder, tenant: str, scopes: tuple[str, ...], life: timedelta = LOCAL_LIFE
) -> str:
    return LocalKeys(state.keys).issue(
        subject=os.environ.get("USER", "local"), tenant=tenant, scopes=scopes, life=life
    )
