"""Connection to the gateway: where it is, and the token that is shown to it."""

import os
from functools import partial

from modelmill_client import Modelmill

from modelmill_cli.keys import ALL_SCOPES, LOCAL_LIFE, LocalKeys
from modelmill_cli.state_folder import StateFolder

DEFAULT_TENANT = "demo"
DEFAULT_MODEL = "default"
"""What the gateway asks where nobody names a model, if it is not told otherwise."""


def connect(state: StateFolder) -> Modelmill:
    """A client of MODELMILL_URL and MODELMILL_TOKEN when set, else of what runs on the folder.

    Raises:
        PreconditionError: neither.
        SetupError: a URL without a token, or none that is an address.
    """
    if os.environ.get("MODELMILL_URL"):
        return Modelmill()
    return connect_locally(state, state.read_runtime().http_url)


def connect_locally(state: StateFolder, url: str) -> Modelmill:
    """A client of an instance on this machine; its token is renewed for as long as it is used."""
    return Modelmill(url, partial(local_token, state))


def local_token(state: StateFolder) -> str:
    """A token with every scope for this machine's own user."""
    return LocalKeys(state.keys).issue(
        subject=os.environ.get("USER", "local"),
        tenant=DEFAULT_TENANT,
        scopes=ALL_SCOPES,
        life=LOCAL_LIFE,
    )
