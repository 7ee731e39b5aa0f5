"""What a hub on loopback does with commits: preupload, large files, and the commit itself."""

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from modelmill_testkit.hub_files import LARGE_BYTES, HubFile

if TYPE_CHECKING:
    from modelmill_testkit.hub_server import HubServer

_PREUPLOAD = re.compile(r"/api/(models|datasets)/(.+)/preupload/[^/]+")
_COMMIT = re.compile(r"/api/(models|datasets)/(.+)/commit/[^/]+")
_BATCH = re.compile(r"/(datasets/)?(.+)\.git/info/lfs/objects/batch")


class HubUploads:
    """Takes uploads; what was taken is a repository of the hub."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}
        self.messages: list[str] = []
        """Of commits."""

    def put(self, sha256: str, content: bytes) -> None:
        """A large file."""
        self._contents[sha256] = content

    def answer(self, path: str, body: bytes, hub: "HubServer") -> Any:
        """The answer to a POST; None where there is no such repository."""
        if path == "/api/repos/create":
            return self._create(json.loads(body), hub)
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if found := _PREUPLOAD.fullmatch(path):
            return self._preupload(json.loads(body)) if _has(hub, found) else None
        if found := _BATCH.fullmatch(path):
            return self._batch(json.loads(body), hub)
        if found := _COMMIT.fullmatch(path):
            return self._commit(body, hub, found) if _has(hub, found) else None
        return None

    def _create(self, wanted: dict[str, Any], hub: "HubServer") -> Any:
        owner = wanted.get("organization")
        name = f"{owner}/{wanted['name']}" if owner else wanted["name"]
        kind = f"{wanted.get('type') or 'model'}s"
        if (kind, name) not in hub.repositories:
            hub.add(name, {}, kind=kind).is_private = wanted.get("visibility") == "private"
        return {"url": f"{hub.url}/{name}", "name": name, "id": "1"}

    def _preupload(self, wanted: dict[str, Any]) -> Any:
        return {
            "files": [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["size"] >= LARGE_BYTES else "regular",
                    "shouldIgnore": False,
                }
                for each in wanted["files"]
            ]
        }

    def _batch(self, wanted: dict[str, Any], hub: "HubServer") -> Any:
        return {
            "transfer": "basic",
            "objects": [
                {
                    "oid": each["oid"],
                    "size": each["size"],
                    "actions": {"upload": {"href": f"{hub.cdn_url}/upload/{each['oid']}"}},
                }
                for each in wanted["objects"]
            ],
        }

    def _commit(self, body: bytes, hub: "HubServer", found: re.Match[str]) -> Any:
        repository = hub.repositories[found[1], found[2]]
        files = dict(repository.files)
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                self.messages.append(value["summary"])
            elif entry["key"] == "file":
                files[value["path"]] = HubFile(base64.b64decode(value["content"]))
            elif entry["key"] == "lfsFile":
                files[value["path"]] = HubFile(self._contents[value["oid"]])
        repository.files = files
        url = f"{hub.url}/{found[2]}/commit/{repository.commit}"
        return {"success": True, "commitOid": repository.commit, "commitUrl": url}


def _has(hub: "HubServer", found: re.Match[str]) -> bool:
    return (found[1], found[2]) in hub.repositories
