"""An issuer of tokens, honest and otherwise."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://issuer.test"
AUDIENCE = "modelmill"
ALL_SCOPES = (
    "chat models:read models:write files datasets jobs webhooks moderation keys usage logs budgets"
)


@cache
def rsa_key(number: int, bits: int = 2048) -> RSAPrivateKey:
    """The same key for the same number: making one takes long."""
    return generate_private_key(65537, bits)


class Issuer:
    """One key, published as a JWKS file: Ed25519, or RSA when it is given."""

    def __init__(
        self, jwks_file: Path, key_id: str = "key-1", rsa: RSAPrivateKey | None = None
    ) -> None:
        self.key: Ed25519PrivateKey | RSAPrivateKey = rsa or Ed25519PrivateKey.generate()
        self.algorithm = "RS256" if rsa else "EdDSA"
        self.name = ISSUER
        self.key_id = key_id
        self.jwks_file = jwks_file
        self.publish()

    def publish(self) -> None:
        """Write the JWKS."""
        self.jwks_file.write_text(json.dumps({"keys": [self.jwk()]}))

    def jwk(self) -> dict[str, Any]:
        """The public key."""
        common = {"alg": self.algorithm, "use": "sig", "kid": self.key_id}
        if isinstance(self.key, Ed25519PrivateKey):
            raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "x": encode(raw), **common}
        numbers = self.key.public_key().public_numbers()
        n = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)
        return {"kty": "RSA", "n": encode(n), "e": encode(numbers.e.to_bytes(3)), **common}

    def public_forms(self) -> dict[str, bytes]:
        """The public key in every form that somebody may take for a shared secret."""
        public = self.key.public_key()
        form = PublicFormat.SubjectPublicKeyInfo
        forms = {
            "PEM": public.public_bytes(Encoding.PEM, form),
            "DER": public.public_bytes(Encoding.DER, form),
        }
        jwk = self.jwk()
        number = str(jwk.get("x") or jwk.get("n"))
        raw = base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))
        return forms | {"raw": raw, "text": number.encode(), "jwk": json.dumps(jwk).encode()}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims, with changes; None leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.name,
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
        header = {"alg": self.algorithm, "typ": "at+jwt", "kid": self.key_id} | header
        return self.sign_raw(json.dumps(header).encode(), json.dumps(claims).encode())

    def sign_raw(self, header: bytes, payload: bytes) -> str:
        """A signature over exactly these bytes."""
        signed = f"{encode(header)}.{encode(payload)}"
        return f"{signed}.{encode(self._signature(signed.encode()))}"

    def _signature(self, signed: bytes) -> bytes:
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(signed)
        return self.key.sign(signed, PKCS1v15(), SHA256())


def with_public_key_as_secret(issuer: Issuer, secret: bytes, **header: Any) -> str:
    """The classic: the public key used as a shared secret."""
    named = {"alg": "HS256", "typ": "JWT", "kid": issuer.key_id} | header
    signed = f"{encode(json.dumps(named).encode())}.{encode(json.dumps(issuer.claims()).encode())}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def encode(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
