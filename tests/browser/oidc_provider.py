"""A small OpenID provider: authorization code with PKCE, as a browser and a gateway see it."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.browser.live_gateway import ROOT  # noqa: F401 - and its path

from gateway_support.issuer import AUDIENCE, Issuer, rsa_key  # isort: skip - a path of `live_gateway`'s

CLIENT = "modelmill-console"
CODE = "code-of-ada"


@dataclass
class SmallProvider:
    """Signs everybody in as ada, at once; what it says can be made wrong."""

    url: str
    signer: Issuer
    asked: list[dict[str, str]] = field(default_factory=list)
    """Queries of authorization requests."""
    state: str = ""
    """Given back in place of the state that was asked with."""
    id_claims: dict[str, Any] = field(default_factory=dict)
    """In place of those that are right."""
    refusal: str = ""

    def lead_back(self, query: dict[str, str]) -> str:
        """Where the browser goes from the authorization endpoint."""
        self.asked.append(query)
        given = {"error": self.refusal} if self.refusal else {"code": CODE}
        given |= {"state": self.state or query["state"], "iss": self.url}
        return f"{query['redirect_uri']}?{urlencode(given)}"

    def exchange(self, form: dict[str, str]) -> dict[str, Any] | None:
        """Tokens for a code, whose verifier must be that of the challenge."""
        query = self.asked[-1]
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        is_good = query["code_challenge_method"] == "S256" and query["code_challenge"] == challenge
        same = all(form[name] == query[name] for name in ("client_id", "redirect_uri"))
        if not (is_good and same and form["code"] == CODE):
            return None
        access = self.signer.token(sub="ada", tenant=None, scope=None, aud=AUDIENCE)
        claims = self.signer.claims(aud=CLIENT, nonce=query["nonce"]) | self.id_claims
        return {"access_token": access, "id_token": self.signer.sign(claims, typ="JWT")}


def _handler(provider: SmallProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("location", provider.lead_back(query))
                self.end_headers()
            elif parts.path == "/keys":
                self._say({"keys": [provider.signer.jwk()]})
            else:
                ends = {"authorization": "authorize", "token": "token"}
                found = {f"{name}_endpoint": f"{provider.url}/{it}" for name, it in ends.items()}
                self._say({"issuer": provider.url, "jwks_uri": f"{provider.url}/keys"} | found)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            tokens = provider.exchange(form)
            self._say(tokens or {"error": "invalid_grant"}, 200 if tokens else 400)

        def _say(self, document: object, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("access-control-allow-origin", "*")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    return Handler


@contextmanager
def small_provider(folder: Path) -> Iterator[SmallProvider]:
    """Answers until the block ends."""
    signer = Issuer(folder / "provider.json", "provider-1", rsa_key(1))
    provider = SmallProvider("", signer)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider)) as server:
        server.daemon_threads = True
        provider.url = signer.name = f"http://127.0.0.1:{server.server_port}"
        serving = Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield provider
        finally:
            server.shutdown()
            serving.join()
