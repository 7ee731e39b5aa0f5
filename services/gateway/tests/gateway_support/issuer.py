"""An issuer of tokens, honest and otherwise."""

import base64
import json
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://issuer.test"
AUDIENCE = "modelmill"
ALL_SCOPES = (
    "chat models:read models:write files datasets jobs webhooks moderation keys usage budgets"
)


class Issuer:
    """One Ed25519 key, published as a JWKS file."""

    def __init__(self, jwks_file: Path, key_id: str = "key-1") -> None:
        self.key = Ed25519PrivateKey.generate()
        self.key_id = key_id
        self.jwks_file = jwks_file
        self.publish()

    def publish(self) -> None:
        """Write the JWKS."""
        self.jwks_file.write_text(json.dumps({"keys": [self.jwk()]}))

    def jwk(self) -> dict[str, Any]:
        """The public key."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": self.key_id,
            "x": encode(self.raw_public_key()),
        }

    def raw_public_key(self) -> bytes:
        """32 bytes."""
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims, with changes; None leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ada",
            "tenant": "acme",
            "scope": ALL_SCOPES,
            "iat": now,
            "exp": now + 600,
            "jti": uuid.uuid4().hex,
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, **changes: Any) -> str:
        """A token that verifies, as long as its claims do."""
        return self.sign(self.claims(**changes))

    def sign(self, claims: Any, **header: Any) -> str:
        """A token of any claims and header, truly signed."""
        header = {"alg": "EdDSA", "typ": "at+jwt", "kid": self.key_id} | header
        return self.sign_raw(json.dumps(header).encode(), json.dumps(claims).encode())

    def sign_raw(self, header: bytes, payload: bytes) -> str:
        """A signature over exactly these bytes."""
        signed = f"{encode(header)}.{encode(payload)}"
        return f"{signed}.{encode(self.key.sign(signed.encode()))}"


def hs256_with_public_key(issuer: Issuer) -> str:
    """The classic: the public key used as a shared secret."""
    return jwt.encode(
        issuer.claims(),
        issuer.raw_public_key(),
        algorithm="HS256",
        headers={"kid": issuer.key_id},
    )


def encode(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
