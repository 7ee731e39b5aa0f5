"""The part of a broker's configuration that says who may do what."""

import json
from collections.abc import Mapping
from pathlib import Path

from modelmill_bus.permissions import EVERYTHING, permissions_of

REMARK = "# Made from the table of subjects; make it anew instead of changing it."


def authorization(public_keys: Mapping[str, str]) -> str:
    """An `authorization` block for nats-server, to be included or pasted; nothing in it is secret.

    Args:
        public_keys: the public nkey of each identity that may connect.
    """
    users = "".join(_user(name, key) for name, key in public_keys.items())
    return f"{REMARK}\nauthorization {{\n  users: [\n{users}  ]\n}}\n"


def _user(name: str, public_key: str) -> str:
    allowed = permissions_of(name)
    publish = _lists(allow=allowed.publish, deny=allowed.never_publish)
    # An empty list would be no limit.
    subscribe = _lists(allow=allowed.subscribe, deny=() if allowed.subscribe else (EVERYTHING,))
    return f"""\
    # {name}
    {{
      nkey: {public_key}
      permissions: {{
        publish: {publish}
        subscribe: {subscribe}
      }}
    }}
"""


def _lists(**subjects: tuple[str, ...]) -> str:
    return json.dumps({word: list(each) for word, each in subjects.items() if each}, indent=1)


def tls_settings(certificates: Path, *, clients_show: bool) -> str:
    """A `tls` block for nats-server; it begins with the handshake, as our services demand.

    Args:
        certificates: folder with ca.pem, nats.pem and nats-key.pem.
        clients_show: whether a client must show a certificate of that authority, too.
    """
    verify = f"\n  ca_file: {json.dumps(str(certificates / 'ca.pem'))}\n  verify: true"
    return f"""\
tls {{
  cert_file: {json.dumps(str(certificates / "nats.pem"))}
  key_file: {json.dumps(str(certificates / "nats-key.pem"))}{verify if clients_show else ""}
  # At once from ours; others are told first that it wants TLS.
  handshake_first: auto
}}
"""
