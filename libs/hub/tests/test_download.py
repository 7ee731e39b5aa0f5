"""Downloads that are cut, killed and continued."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hub_support.site import TINY, Site, contents
from modelmill_hub.address import HubAddress
from modelmill_hub.errors import MissingFileError
from modelmill_hub.transfer import DownloadProgress, StoppedError
from modelmill_service_kit.errors import DiskFullError, PreconditionError
from modelmill_testkit.hub_server import HubFile
from modelmill_testkit.waiting import eventually

CHILD = Path(__file__).parent / "hub_support" / "fetching.py"


def test_a_download_has_the_hubs_bytes_with_commit_and_licence(site: Site) -> None:
    fetched = site.fetcher().model(TINY)

    assert contents(fetched.folder) == site.expected()
    commit = site.server.repositories["models", "org/tiny"].commit
    assert fetched.origin == {
        "source": "hf://org/tiny",
        "revision": commit,
        "licence": "apache-2.0",
    }
    assert fetched.folder == site.root / "hf" / "models" / "org--tiny" / commit


def test_a_cut_anywhere_costs_no_byte_that_had_come(site: Site) -> None:
    site.fetcher().model(TINY)
    whole = site.server.sent_bytes
    random = Random(4)
    for number, offset in enumerate(random.sample(range(1, whole), 8)):
        fetcher = site.fetcher()
        object.__setattr__(fetcher, "root", site.root / str(number))
        before = site.server.sent_bytes
        site.server.faults.cuts = [before + offset]

        fetched = fetcher.model(TINY)

        assert contents(fetched.folder) == site.expected()
        assert not site.server.faults.cuts
        listing = 4096  # that of a cut listing is asked for again
        assert site.server.sent_bytes - before < whole + listing


def test_the_token_stays_with_the_hub(site: Site) -> None:
    site.fetcher("hf_reader").model(TINY)

    assert {each.has_token for each in site.server.requests if not each.is_of_cdn} == {True}
    assert {each.has_token for each in site.server.requests if each.is_of_cdn} == {False}


def test_a_server_that_knows_no_ranges_is_read_from_the_start(site: Site) -> None:
    site.fetcher().look_up(TINY)
    site.server.faults.ignores_ranges = True
    site.server.faults.cuts = [site.server.sent_bytes + 100_000]

    fetched = site.fetcher().model(TINY)

    assert contents(fetched.folder) == site.expected()


def test_a_part_that_a_disk_spoiled_is_downloaded_once_more(site: Site) -> None:
    commit = site.server.repositories["models", "org/tiny"].commit
    folder = site.root / "hf" / "models" / "org--tiny" / commit
    folder.mkdir(parents=True)
    (folder / "model.safetensors.part").write_bytes(b"\0" * 5000)

    assert contents(site.fetcher().model(TINY).folder) == site.expected()


def test_a_download_tells_bytes_rate_and_time_remaining(site: Site) -> None:
    told: list[DownloadProgress] = []

    site.fetcher(tell=told.append).model(TINY)

    total = sum(map(len, site.expected().values()))
    assert (told[-1].done_bytes, told[-1].total_bytes) == (total, total)
    assert told[-1].bytes_per_second > 0
    assert told[-1].seconds_left == 0
    assert DownloadProgress("x", 0, 1, 0.0).seconds_left is None


def test_a_download_that_is_stopped_is_continued(site: Site) -> None:
    answers = iter([False] * 8)

    with pytest.raises(StoppedError):
        site.fetcher(is_stopped=lambda: next(answers, True)).model(TINY)
    before = site.server.sent_bytes
    assert contents(site.fetcher().model(TINY).folder) == site.expected()
    assert site.server.sent_bytes - before < sum(map(len, site.expected().values()))


@pytest.mark.tier("test")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
async def test_a_process_that_is_killed_is_continued_by_the_next(
    site: Site, number: signal.Signals
) -> None:
    site.server.faults.hold_after = 100_000
    command = [sys.executable, str(CHILD), site.server.url, str(site.root)]
    killed = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    try:
        await eventually(lambda: site.server.sent_bytes >= 100_000, within=60)
        # What was sent may wait in between: the process opens the file at its own pace.
        await eventually(
            lambda: any(each.stat().st_size > 10_000 for each in site.root.rglob("*.part"))
        )
    finally:
        killed.send_signal(number)
        await killed.wait()
    site.server.faults.hold_after = None
    site.server.faults.release.set()
    (part,) = site.root.rglob("*.part")
    came = part.stat().st_size
    assert part.name == "model.safetensors.part"
    assert came > 10_000

    ended = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    said, _ = await ended.communicate()

    assert contents(Path(said.decode().strip())) == site.expected()
    assert site.server.ranges("model.safetensors")[-1] == f"bytes={came}-"


def test_two_processes_do_not_download_the_same_at_once(site: Site) -> None:
    fetcher = site.fetcher()
    with (
        fetcher._folder(fetcher.look_up(TINY)),
        pytest.raises(PreconditionError, match="another process downloads"),
    ):
        site.fetcher().model(TINY)


def test_a_model_that_the_disk_cannot_hold_is_refused_before_it_comes(site: Site) -> None:
    content = site.expected()["model.safetensors"]
    files = site.server.repositories["models", "org/tiny"].files
    site.server.add(
        "org/large", {**files, "model.safetensors": HubFile(content, listed_size=1 << 60)}
    )

    with pytest.raises(DiskFullError, match="Free space and repeat"):
        site.fetcher().model(HubAddress.parse("hf://org/large"))


def test_a_link_in_the_folder_is_not_written_through(site: Site, tmp_path: Path) -> None:
    commit = site.server.repositories["models", "org/tiny"].commit
    folder = site.root / "hf" / "models" / "org--tiny" / commit
    folder.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    os.symlink(victim, folder / "config.json.part")

    with pytest.raises(OSError, match="symbolic"):
        site.fetcher().model(TINY)
    assert victim.read_bytes() == b"mine"


def test_tables_of_a_dataset_are_all_or_those_below_a_path(site: Site) -> None:
    files = {"data/train.parquet": b"1", "data/test.parquet": b"2", "x.csv": b"3", "y.py": b"4"}
    site.server.add("org/rows", files, kind="datasets")

    def names(address: str) -> list[str]:
        return [file.name for file in site.fetcher().tables(HubAddress.parse(address)).files]

    assert names("hf://datasets/org/rows") == ["test.parquet", "train.parquet"]
    assert names("hf://datasets/org/rows/data/train.parquet") == ["train.parquet"]
    assert names("hf://datasets/org/rows/data/t*.parquet") == ["test.parquet", "train.parquet"]
    with pytest.raises(MissingFileError, match="It has data/train"):
        names("hf://datasets/org/rows/none")
    with pytest.raises(PreconditionError, match="Give a dataset"):
        names("hf://org/tiny")


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")
def test_a_folder_is_pushed_and_comes_back_as_it_was(site: Site, tmp_path: Path) -> None:
    address = HubAddress.parse("hf://me/pushed")
    hub = site.fetcher("hf_writer").hub

    commit = hub.push(site.model, address, "A model")

    assert site.server.repositories["models", "me/pushed"].is_private
    assert site.server.uploads.messages == ["A model"]
    fetched = site.fetcher("hf_writer").model(address.at(commit))
    assert contents(fetched.folder) == site.expected()
