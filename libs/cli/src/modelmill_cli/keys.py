"""The signing key of one machine's Modelmill, its public half as JWKS, and tokens made with it."""

import base64
import hashlib
import json
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.state_folder import write_private, write_public

ISSUER = "https://modelmill.local"
AUDIENCE = "modelmill"
ALL_SCOPES = (
    "chat",
    "models:read",
    "models:write",
    "files",
    "datasets",
    "jobs",
    "webhooks",
    "moderation",
    "keys",
    "usage",
    "logs",
    "budgets",
)
"""Of a tenant's own people."""
OPERATOR = "operator"
"""The scope of who runs the installation; no tenant's token has it unless it is asked for."""
LOCAL_LIFE, LONGEST_LIFE = timedelta(hours=1), timedelta(hours=24)
"""Of tokens that commands make for themselves, and that `mill token` makes."""


class LocalKeys:
    """An Ed25519 key kept in `folder`, made on first use."""

    def __init__(self, folder: Path) -> None:
        self._private_file = folder / "signing-key.pem"
        self._webhook_file = folder / "webhook.key"
        self.jwks_file = folder / "jwks.json"

    def create(self) -> None:
        """Make the key pair.

        Raises:
            PreconditionError: there is one; a new one would make every token of it worthless.
        """
        if self._private_file.exists():
            raise PreconditionError(
                f"{self._private_file} is there already, and tokens signed with it may be in use."
                " Delete it first or name another folder"
            )
        self._private_file.parent.mkdir(parents=True, exist_ok=True)
        self.ensure()
        # For gateways of other users, also in containers; what is in it is no secret.
        write_public(self.jwks_file, self.jwks_file.read_bytes())

    def ensure(self) -> None:
        """Make the key pair unless it is there; the JWKS is written anew each time."""
        if not self._private_file.exists():
            key = Ed25519PrivateKey.generate()
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_private(self._private_file, pem)
        raw = self._key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        jwk = {
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": _key_id(raw),
            "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode(),
        }
        write_private(self.jwks_file, json.dumps({"keys": [jwk]}).encode())

    def webhook_key_file(self) -> Path:
        """What the gateway seals the secrets of webhooks with; made on first use and then kept."""
        if not self._webhook_file.exists():
            write_private(self._webhook_file, secrets.token_urlsafe(32).encode())
        return self._webhook_file

    def issue(self, *, subject: str, tenant: str, scopes: tuple[str, ...], life: timedelta) -> str:
        """A signed token for `subject` of `tenant` with `scopes`, valid for `life`.

        Raises:
            PreconditionError: there is no usable key; the message names the file.
        """
        import jwt  # images in which `mill doctor --pod` runs have no tokens to make

        key = self._key()
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "tenant": tenant,
            "scope": " ".join(scopes),
            "iat": now,
            "exp": now + life,
            "jti": uuid.uuid4().hex,
        }
        headers = {"kid": _key_id(raw), "typ": "at+jwt"}
        return jwt.encode(claims, key, algorithm="EdDSA", headers=headers)

    def _key(self) -> Ed25519PrivateKey:
        try:
            key = load_pem_private_key(self._private_file.read_bytes(), password=None)
        except FileNotFoundError:
            raise PreconditionError(
                f"there is no {self._private_file}. Make one with"
                f" `mill keys new {self._private_file.parent}`"
            ) from None
        except (TypeError, ValueError):  # encrypted, or no PEM at all
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise PreconditionError(
                f"{self._private_file} does not hold an unencrypted Ed25519 key in PEM"
            )
        return key


def _key_id(raw_public_key: bytes) -> str:
    return hashlib.sha256(raw_public_key).hexdigest()[:16]
