"""Connection to the gateway: where it is, and the token that is shown to it."""

import os
from datetime import timedelta
from functools import partial

from modelmill_client import Modelmill

from modelmill_cli.keys import ALL_SCOPES, LOCAL_LIFE, OPERATOR, LocalKeys
from modelmill_cli.state_folder import StateFolder

DEFAULT_TENANT = "demo"
OPERATORS = "operators"
"""Tenant of whoever runs the installation; has nothing but the audit log of what they change."""
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


def connect_as_operator(state: StateFolder) -> Modelmill:
    """As `connect`; on this machine with a token that has the scope `operator` and no other."""
    if os.environ.get("MODELMILL_URL"):
        return Modelmill()
    url = state.read_runtime().http_url
    return Modelmill(url, partial(_issue, state, OPERATORS, (OPERATOR,)))


def _issue(
    state: StateFolder, tenant: str, scopes: tuple[str, ...], life: timedelta = LOCAL_LIFE
) -> str:
    return LocalKeys(state.keys).issue(
        subject=os.environ.get("USER", "local"), tenant=tenant, scopes=scopes, life=life
    )
