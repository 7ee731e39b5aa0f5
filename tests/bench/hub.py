"""hub.*: imports from a model hub that breaks off, and from repositories that are hostile.

    python -m tests.bench.hub [--only GROUP ...] [--keep]

The hub is a server on loopback that speaks Hugging Face's HTTP API (`modelmill_testkit`); what asks
it is the product's own client. No figure is a time, so the machine may be busy.

`hub.cuts`: of 20 imports, those that end with the digest of an import that nothing cut; each is cut
once, at a random byte of all that the hub sends. `hub.cuts_in_one`: the same of one import that is
cut at all 20. `hub.hostile`: of hostile repositories, those that are refused with their reason.
`hub.hostile_bytes`: the most bytes that one of them left on the disk.
`--only` measures groups. `--keep` writes deploy/bench/hub.json, in place of the entries of the same
ids there; each entry has the commit and date of its own run.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from modelmill_hub.address import HubAddress
from modelmill_hub.fetch import Fetcher
from modelmill_hub.hugging_face import HuggingFaceHub
from modelmill_registry.model_folder import check_model_folder, import_model
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import DomainError
from modelmill_testkit.hostile_repositories import HOSTILE_REPOSITORIES, hostile_files
from modelmill_testkit.hub_server import HubServer, running_hub
from modelmill_testkit.models import make_tiny_llama
from modelmill_tokenization.bounded.here import try_tokenizer

from tests.bench.figures import Entry, all_of
from tests.bench.kept_entries import run_groups

RESULT = Path("deploy/bench/hub.json")
CUTS, LEAST_HOSTILE = 20, 12
MOST_BYTES = 1 << 20
SEED = 13
ADDRESS = HubAddress.parse("hf://org/tiny")


class _Published:
    """What an import announces, kept to itself."""

    async def publish(self, *_: object, **__: object) -> None:
        """Nobody hears it."""


def cut_entries() -> list[Entry]:
    """Imports from a hub that breaks off."""
    with TemporaryDirectory(prefix="hub-") as place, running_hub() as hub:
        folder = Path(place)
        model = make_tiny_llama(folder / "tiny")
        hub.add("org/tiny", {path.name: path.read_bytes() for path in model.iterdir()})
        wanted = _imported(hub, folder / "whole")
        offsets = sorted(Random(SEED).sample(range(1, hub.sent_bytes), CUTS))
        equal = cut = 0
        for offset in offsets:
            hub.faults.cuts = [hub.sent_bytes + offset]
            equal += _imported(hub, folder / f"cut-{offset}") == wanted
            cut += not hub.faults.cuts
        # Each cut costs the bytes of the answer that it hits, so that later ones come sooner.
        hub.faults.cuts = [hub.sent_bytes + offset for offset in offsets]
        in_one = _imported(hub, folder / "all") == wanted
        fell = CUTS - len(hub.faults.cuts)
    note = f"{cut} were cut, at bytes {', '.join(map(str, offsets))}; seed {SEED}"
    return [
        all_of(
            "hub.cuts",
            equal if cut == CUTS else min(equal, cut),
            CUTS,
            "imports",
            least=CUTS,
            note=note,
        ),
        all_of(
            "hub.cuts_in_one",
            int(in_one and fell == CUTS),
            1,
            "imports",
            least=1,
            note=f"cut {fell} times",
        ),
    ]


def _imported(hub: HubServer, folder: Path) -> str:
    """The digest of an import into a store of its own."""
    fetcher = Fetcher(HuggingFaceHub(hub.url, "hf_reader"), folder / "hub", wait=_wait_shortly)
    fetched = fetcher.model(ADDRESS)
    importing = import_model(
        _Published(),
        FolderStore(folder / "artifacts"),
        fetched.folder,
        tenant="local",
        name=fetched.name,
        try_out=try_tokenizer,
        origin=fetched.origin,
    )
    return asyncio.run(importing).digest


def _wait_shortly(seconds: float) -> None:
    """A hub on loopback needs no time to recover."""
    time.sleep(min(seconds, 0.05))


def hostile_entries() -> list[Entry]:
    """Repositories that must be refused."""
    refused, most, others = 0, 0, []
    with TemporaryDirectory(prefix="hub-") as place, running_hub() as hub:
        folder = Path(place)
        sound = make_tiny_llama(folder / "sound")
        for number, (name, (reason, _)) in enumerate(HOSTILE_REPOSITORIES.items()):
            hub.add("evil/model", hostile_files(name, sound))
            root = folder / f"hub-{number}"
            told = _refusal(Fetcher(HuggingFaceHub(hub.url), root, wait=_wait_shortly))
            refused += told == reason
            others += [f"{name}: {told or 'taken'}"] if told != reason else []
            most = max(most, sum(it.stat().st_size for it in root.rglob("*") if it.is_file()))
        escaped = sorted({it.name.partition("-")[0] for it in folder.iterdir()} - {"sound", "hub"})
    whole = len(HOSTILE_REPOSITORIES)
    note = "; ".join([", ".join(HOSTILE_REPOSITORIES), *others, *escaped])
    return [
        all_of("hub.hostile", refused, whole, "repositories", least=LEAST_HOSTILE, note=note),
        Entry(
            "hub.hostile_bytes",
            most,
            "bytes",
            "no rival",
            1.0,
            f"<= {MOST_BYTES} bytes",
            most <= MOST_BYTES,
            (most, most),
            "the most that a refused repository left on the disk",
        ),
    ]


def _refusal(fetcher: Fetcher) -> str:
    """The reason by which a repository is refused, before or after it came; else nothing."""
    try:
        check_model_folder(fetcher.model(HubAddress.parse("hf://evil/model")).folder)
    except DomainError as error:
        return error.reason
    return ""


GROUPS: Mapping[str, Callable[[], Sequence[Entry]]] = {
    "cuts": cut_entries,
    "hostile": hostile_entries,
}


if __name__ == "__main__":
    sys.exit(run_groups("tests.bench.hub", GROUPS, RESULT))
