"""Takes Modelmill's webhooks and prints each event: WEBHOOK_SECRET=whsec_… python on_webhook.py

Needs Python alone. An event may come more than once, with the same webhook-id: keep what you did.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    delivery, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdecimal() or abs(time.time() - int(at)) > 300:  # an old one may be sent again
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{delivery}.{at}.".encode() + body, hashlib.sha256)
    ours = f"v1,{base64.b64encode(digest).decode()}"
    said = headers.get("webhook-signature", "").split()  # two, while a secret is replaced
    return any(hmac.compare_digest(ours.encode(), each.encode()) for each in said)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        genuine = is_genuine(os.environ["WEBHOOK_SECRET"], self.headers, body)
        self.send_response(204 if genuine else 401)
        self.end_headers()
        if genuine:
            print(self.headers["webhook-id"], json.loads(body)["type"], flush=True)


if __name__ == "__main__":
    if not os.environ.get("WEBHOOK_SECRET"):
        sys.exit("WEBHOOK_SECRET is not set. POST /v1/webhooks answers it, as `secret`")
    HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Receiver).serve_forever()
