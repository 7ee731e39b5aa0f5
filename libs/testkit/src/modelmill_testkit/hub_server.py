"""A model hub on loopback that fails as it is told.

It speaks Hugging Face's HTTP API, and on another port ModelScope's. Small files are served by the
hub, large ones by a redirect to one more port, as the real ones do with their CDN. `hub_uploads`
has what takes commits.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from modelmill_testkit.hub_files import HubFile, HubRepository
from modelmill_testkit.hub_uploads import HubUploads

BLOCK_BYTES = 1024
_RANGE = re.compile(r"bytes=(\d+)-")
_INFO = re.compile(r"/api/(models|datasets)/([^?]+?)(?:/revision/([^/?]+))?")
_MODEL_SCOPE = re.compile(r"/api/v1/(models|datasets)/([^/]+/[^/]+)(/repo|/repo/files|/repo/tree|)")
_RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class HubFaults:
    """What goes wrong, and when."""

    cuts: list[int] = field(default_factory=list)
    """Connections are dropped when so many bytes of bodies have been sent in all."""
    refusals: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    """Statuses and headers of the next answers."""
    hold_after: int | None = None
    """Bytes of bodies after which answers stop until `release` is set."""
    release: Event = field(default_factory=Event)
    ignores_ranges: bool = False


@dataclass(frozen=True)
class HubRequest:
    """A request that came."""

    method: str
    path: str
    range: str
    has_token: bool
    is_of_cdn: bool


class HubServer:
    """Repositories by kind and name, such as ("models", "org/name")."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], HubRepository] = {}
        self.tokens: set[str] = {"hf_reader"}
        self.writers: set[str] = {"hf_writer"}
        self.faults = HubFaults()
        self.requests: list[HubRequest] = []
        self.uploads = HubUploads()
        self.sent_bytes = 0
        self.lock = Lock()
        self.url = self.model_scope_url = self.cdn_url = ""

    def add(
        self, name: str, files: Mapping[str, bytes | HubFile], *, kind: str = "models"
    ) -> HubRepository:
        """A repository of these files."""
        made = HubRepository(
            {
                path: each if isinstance(each, HubFile) else HubFile(each)
                for path, each in files.items()
            }
        )
        self.repositories[kind, name] = made
        return made

    def ranges(self, path: str) -> list[str]:
        """Ranges that were asked for of a file, in order, of whoever has its bytes."""
        return [each.range for each in self.requests if each.method == "GET" and path in each.path]

    def take(self, size: int) -> tuple[int, bool]:
        """How many of the next bytes may be sent, and whether the connection is dropped then."""
        faults = self.faults
        with self.lock:
            if faults.cuts and self.sent_bytes + size >= faults.cuts[0]:
                size = max(0, faults.cuts.pop(0) - self.sent_bytes)
                self.sent_bytes += size
                return size, True
            self.sent_bytes += size
            is_held = faults.hold_after is not None and self.sent_bytes >= faults.hold_after
        if is_held:
            faults.release.wait(60)
        return size, False


@contextmanager
def running_hub() -> Iterator[HubServer]:
    """A hub, the same by ModelScope's API, and its CDN, on free ports."""
    hub = HubServer()
    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (handler,), {"hub": hub}))
        for handler in (_HubHandler, _ModelScopeHandler, _CdnHandler)
    ]
    hub.url, hub.model_scope_url, hub.cdn_url = (
        f"http://127.0.0.1:{each.server_port}" for each in servers
    )
    threads = [Thread(target=each.serve_forever, args=(0.02,), daemon=True) for each in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.daemon_threads = True
        thread.start()
    try:
        yield hub
    finally:
        hub.faults.release.set()
        for server in servers:
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """What hub and CDN have in common."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    is_cdn = False

    def log_message(self, *_: object) -> None:
        """Nothing is said on stderr."""

    def note(self) -> None:
        request = HubRequest(
            self.command,
            self.path,
            self.headers.get("range", ""),
            self.headers.get("authorization") is not None,
            self.is_cdn,
        )
        with self.hub.lock:
            self.hub.requests.append(request)

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.send_body(body)

    def answer_json(self, value: Any) -> None:
        told = {"content-type": "application/json"}
        self.answer(200, json.dumps(value).encode(), told)

    def refuse(self, status: int, code: str, message: str) -> None:
        self.answer(status, b"{}", {"x-error-code": code, "x-error-message": message})

    def send_body(self, body: bytes) -> bool:
        """Whether the connection stays."""
        for start in range(0, len(body), BLOCK_BYTES):
            block = body[start : start + BLOCK_BYTES]
            size, is_cut = self.hub.take(len(block))
            try:
                self.wfile.write(block[:size])
                self.wfile.flush()
            except OSError:
                is_cut = True
            if is_cut:
                self.close_connection = True
                self.connection.close()
                return False
        return True

    def send_file(self, file: HubFile, headers: Mapping[str, str]) -> None:
        """A body, or what a range asks of it."""
        total = len(file.content)
        found = _RANGE.fullmatch(self.headers.get("range", ""))
        start = int(found[1]) if found and not self.hub.faults.ignores_ranges else 0
        if start >= total and start:
            self.answer(416, b"", {"content-range": f"bytes */{total}"})
            return
        self.send_response(206 if start else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        if start:
            self.send_header("content-range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("accept-ranges", "bytes")
        if file.is_unsized or file.is_endless:
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self._send_chunked(file, start)
            return
        self.send_header("content-length", str(total - start))
        self.end_headers()
        if self.command == "GET":
            self.send_body(file.content[start:])

    def _send_chunked(self, file: HubFile, start: int) -> None:
        block = file.content[start:]
        while block:
            framed = b"%x\r\n%s\r\n" % (len(block), block)
            if not self.send_body(framed):
                return
            if not file.is_endless:
                break
        self.send_body(b"0\r\n\r\n")

    def may(self, who: str = "tokens") -> bool:
        """Whether the request has a token of those who read, or of those who write."""
        token = self.headers.get("authorization", "").removeprefix("Bearer ")
        return token in self.hub.writers or (who == "tokens" and token in self.hub.tokens)

    def next_refusal(self) -> bool:
        """Whether this request was answered by a fault."""
        with self.hub.lock:
            refusal = self.hub.faults.refusals.pop(0) if self.hub.faults.refusals else None
        if refusal is None:
            return False
        status, headers = refusal
        self.answer(status, b"{}", headers)
        return True


class _CdnHandler(_Handler):
    """Large files by their digest; who asks needs no token, and must not send one."""

    is_cdn = True

    def do_GET(self) -> None:
        self.note()
        wanted = urlsplit(self.path).path.rpartition("/")[2]
        for (_, name), repository in [*self.hub.repositories.items()]:
            for file in repository.files.values():
                if file.sha256 == wanted and self.path.startswith(f"/{name}/"):
                    self.send_file(file, {"etag": f'"{wanted}"'})
                    return
        self.answer(404)

    def do_PUT(self) -> None:
        self.note()
        content = self.rfile.read(int(self.headers["content-length"]))
        self.hub.uploads.put(urlsplit(self.path).path.rpartition("/")[2], content)
        self.answer(200)


class _HubHandler(_Handler):
    """The API, and small files."""

    def do_GET(self) -> None:
        self.note()
        if self.next_refusal():
            return
        path = unquote(urlsplit(self.path).path)
        if found := _INFO.fullmatch(urlsplit(self.path).path):
            kind, name, revision = found[1], found[2], unquote(found[3] or "main")
            self._info(kind, name, revision)
        elif found := _RESOLVE.fullmatch(path):
            kind = "datasets" if found[1] else "models"
            self._resolve(kind, found[2], found[3], found[4])
        else:
            self.refuse(404, "EntryNotFound", "Not found")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.note()
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        if self.next_refusal():
            return
        if not self.may("writers"):
            self.refuse(403, "", "You lack the right to write")
            return
        made = self.hub.uploads.answer(urlsplit(self.path).path, body, self.hub)
        if made is None:
            self.refuse(404, "RepoNotFound", "Repository not found")
        else:
            self.answer_json(made)

    def _found(self, kind: str, name: str, revision: str) -> HubRepository | None:
        """The repository, or a refusal that was sent."""
        sent = self.headers.get("authorization", "")
        repository = self.hub.repositories.get((kind, name))
        if sent and not self.may():
            self.refuse(401, "", "Invalid credentials in Authorization header")
        elif repository is None or (repository.is_private and not self.may()):
            self.refuse(404 if sent else 401, "RepoNotFound", "Repository not found")
        elif not repository.has_revision(revision):
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repository
        return None

    def _info(self, kind: str, name: str, revision: str) -> None:
        if (repository := self._found(kind, name, revision)) is None:
            return
        listed = [file.as_listed(path) for path, file in repository.files.items()]
        self.answer_json(
            {
                "id": name,
                "sha": repository.commit,
                "tags": [f"license:{repository.licence}"] if repository.licence else [],
                "gated": "manual" if repository.is_gated else False,
                "private": repository.is_private,
                "siblings": listed,
            }
        )

    def _resolve(self, kind: str, name: str, revision: str, path: str) -> None:
        if (repository := self._found(kind, name, revision)) is None:
            return
        if repository.is_gated and not self.headers.get("authorization"):
            self.refuse(401, "GatedRepo", f"Access to model {name} is restricted")
            return
        file = repository.files.get(path)
        if file is None:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        told = {"x-repo-commit": repository.commit}
        if not file.is_large:
            self.send_file(file, {"etag": f'"{file.git_sha1}"', **told})
            return
        location = f"{self.hub.cdn_url}/{name}/{file.sha256}?signature=x&name={path}"
        self.answer(
            302,
            headers={
                **told,
                "location": location,
                "x-linked-etag": f'"{file.sha256}"',
                "x-linked-size": str(file.size),
                # As the real one says of what it keeps there; whoever has no Xet follows the
                # location.
                "x-xet-hash": file.sha256,
            },
        )


class _ModelScopeHandler(_Handler):
    """The same repositories by ModelScope's API."""

    def do_GET(self) -> None:
        self.note()
        if self.next_refusal():
            return
        url = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(url.query).items()}
        found = _MODEL_SCOPE.fullmatch(unquote(url.path))
        repository = self.hub.repositories.get((found[1], found[2])) if found else None
        if self.headers.get("authorization") and not self.may():
            self._say(401, "token is invalid")
        elif found is None or repository is None or (repository.is_private and not self.may()):
            self._say(404, "record not found")
        elif repository.is_gated and not self.may():
            self._say(403, "access denied")
        elif not repository.has_revision(asked.get("Revision", "master").replace("master", "main")):
            self._say(404, "revision not found")
        elif found[3] == "/repo":
            self._file(repository, found[2], asked["FilePath"])
        elif found[3]:
            self.answer_json({"Code": 200, "Data": {"Files": _model_scope_files(repository)}})
        else:
            self.answer_json({"Code": 200, "Data": {"License": repository.licence}})

    def _say(self, status: int, message: str) -> None:
        said = json.dumps({"Code": status, "Message": message}).encode()
        self.answer(status, said, {"content-type": "application/json"})

    def _file(self, repository: HubRepository, name: str, path: str) -> None:
        file = repository.files.get(path)
        if file is None:
            self._say(404, "file not found")
        elif file.is_large:
            self.answer(302, headers={"location": f"{self.hub.cdn_url}/{name}/{file.sha256}"})
        else:
            self.send_file(file, {})


def _model_scope_files(repository: HubRepository) -> list[dict[str, Any]]:
    """All entries, with the folders among them."""
    folders = {path.rpartition("/")[0] for path in repository.files} - {""}
    return [
        *({"Type": "tree", "Path": folder, "Size": 0, "Sha256": ""} for folder in sorted(folders)),
        *(
            {"Type": "blob", "Path": path, "Size": file.size, "Sha256": file.sha256}
            for path, file in repository.files.items()
        ),
    ]
