"""A folder of advisories in OSV's form, asked over the interface of OSV on loopback.

The folder is what `https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip` unpacks to, or
a clone of PyPA's advisory database in JSON: a machine without a network can be given one.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

LONGEST_QUESTION = 65_536

Advisory = Mapping[str, Any]


class AdvisoryError(Exception):
    """The folder cannot be a source; the message says what to do."""


def read_advisories(folder: Path, max_age_days: float) -> dict[str, list[Advisory]]:
    """Advisories by the names of packages.

    Raises:
        AdvisoryError: There are none, one cannot be read, or the newest is too old.
    """
    found: dict[str, list[Advisory]] = defaultdict(list)
    newest = ""
    for file in sorted(folder.rglob("*.json")) if folder.is_dir() else ():
        try:
            advisory = json.loads(file.read_bytes())
            packages = [each["package"] for each in advisory.get("affected", ())]
            for package in packages:
                # Whoever asks compares with the name as it asked.
                package["name"] = canonicalize_name(package["name"])
            names = {each["name"] for each in packages if each["ecosystem"] == "PyPI"}
            newest = max(newest, advisory["modified"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise AdvisoryError(
                f"{file} is no advisory in OSV's form. Unpack the export again"
            ) from None
        for name in names:
            found[name].append(advisory)
    if not found:
        raise AdvisoryError(f"{folder} has no advisories of PyPI. Unpack an export of OSV there")
    age = datetime.now(UTC) - datetime.fromisoformat(newest)
    if age > timedelta(days=max_age_days):
        raise AdvisoryError(
            f"the newest advisory in {folder} is {age.days} days old. Get a newer export, or allow"
            " it by --max-age-days"
        )
    return found


def affects(advisory: Advisory, name: str, version: Version) -> bool:
    """Whether an advisory says so of a version."""
    return not advisory.get("withdrawn") and any(
        _lists(each, version) or any(_covers(one, version) for one in each.get("ranges", ()))
        for each in advisory.get("affected", ())
        if each["package"]["ecosystem"] == "PyPI"
        and canonicalize_name(each["package"]["name"]) == name
    )


def _lists(affected: Mapping[str, Any], version: Version) -> bool:
    return any(
        Version(each) == version for each in affected.get("versions", ()) if _is_version(each)
    )


def _is_version(text: str) -> bool:
    """Whether Python's packages can have it as their version."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _covers(span: Mapping[str, Any], version: Version) -> bool:
    """Whether a range of versions has one, or may have it: its bounds cannot be compared.

    The events of a range are in no certain order; "0" is how OSV says from the beginning.
    """
    if span["type"] != "ECOSYSTEM":
        return False
    said = [(text, kind) for each in span["events"] for kind, text in each.items()]
    if not all(_is_version(text) for text, _ in said):
        return True
    inside = False
    for at, kind in sorted((Version(text), kind) for text, kind in said):
        if at > version:
            break
        inside = kind == "introduced" or (kind == "last_affected" and at == version)
    return inside


@contextmanager
def serve(folder: Path, max_age_days: float) -> Iterator[str]:
    """The address of OSV's query over a folder.

    Raises:
        AdvisoryError: The folder cannot be a source.
    """
    known = read_advisories(folder, max_age_days)

    class Query(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers.get("Content-Length", "0")), LONGEST_QUESTION)
            asked = json.loads(self.rfile.read(length))
            name = canonicalize_name(asked["package"]["name"])
            version = Version(asked["version"])
            answer: Sequence[Advisory] = [
                each for each in known.get(name, ()) if affects(each, name, version)
            ]
            body = json.dumps({"vulns": answer} if answer else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Query) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
