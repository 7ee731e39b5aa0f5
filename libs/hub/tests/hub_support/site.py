"""A hub on loopback with a tiny model, and what downloads from it."""

from dataclasses import dataclass, field
from pathlib import Path

from modelmill_hub.address import HubAddress
from modelmill_hub.fetch import Fetcher
from modelmill_hub.hugging_face import HuggingFaceHub
from modelmill_testkit.hub_server import HubServer

TINY = HubAddress.parse("hf://org/tiny")


@dataclass
class Site:
    """A hub, and a folder for downloads."""

    server: HubServer
    root: Path
    model: Path
    """What `hf://org/tiny` has."""
    waited: list[float] = field(default_factory=list)

    def fetcher(self, token: str = "hf_reader", **options: object) -> Fetcher:
        hub = HuggingFaceHub(self.server.url, token)
        return Fetcher(hub, self.root, wait=self.waited.append, **options)  # type: ignore[arg-type]

    def expected(self) -> dict[str, bytes]:
        return contents(self.model)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder by their paths."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
