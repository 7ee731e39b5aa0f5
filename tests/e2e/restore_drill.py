"""A backup under a running job, and what comes of it in another folder with other ports."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_bus.link import open_looking
from modelmill_bus.stream_snapshots import SNAPSHOT_ORDER
from modelmill_cli.gateway import connect_locally, local_token
from modelmill_cli.private_broker import private_broker
from modelmill_cli.stack import StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder
from modelmill_client import Modelmill
from modelmill_testkit.waiting import eventually
from nats.js.errors import NotFoundError

from tests.bad_input.mill import mill
from tests.e2e.conftest import QUICK_CLAIMS, Loop, running_loop, train, write_rows

STORE = ("artifacts/blobs", "artifacts/manifests")
CHECKPOINTS = "artifacts/parts"
KEPT = (*STORE, CHECKPOINTS, "keys", "bus-identities", "certificates")
LONG = {"epochs": 30, "batch_size": 8, "checkpoint_steps": 10}
"""Of training that still runs when the second backup has ended, and ends soon after a restore."""
OPTIONS = StackOptions(http_port=0, tls=True, overrides=QUICK_CLAIMS)
QUESTION = "thing 7: something that barks"
Message = tuple[Any, ...]


@dataclass(frozen=True)
class UnderWay:
    """A stack that was backed up twice while a job ran."""

    job_id: str
    answer: str
    step: int
    """Of the checkpoint that the job had before the backups."""
    artifact_bytes: int
    """Of the store before the backups, without checkpoints."""
    first: Mapping[str, Any]
    second: Mapping[str, Any]
    statuses: tuple[str, str]
    """Of the job before and after the backups."""


@dataclass(frozen=True)
class Drill:
    """What became of the second of those backups in another folder."""

    under_way: UnderWay
    restored: Mapping[str, Any]
    answer: str
    job: Mapping[str, Any]
    log: list[str]
    compared_parts: set[str]
    """Those of `KEPT` that had files."""
    different_files: list[str]
    """Of the old folder and one restored from it, once the old one stood still."""
    different_streams: list[str]

    @property
    def compared_all(self) -> bool:
        """Whether each part was compared; checkpoints are gone if the old job could end."""
        return {*KEPT} - self.compared_parts <= {CHECKPOINTS}

    @property
    def resumed(self) -> bool:
        """Whether the job went on from a checkpoint."""
        return any("resumes from checkpoint" in line for line in self.log)


async def drill(folder: Path) -> Drill:
    """Back up under a running job, and restore."""
    async with running_loop(folder, OPTIONS) as loop:
        base, old = loop.base_version_id, loop.state
        under_way = await backed_up_under_way(loop, folder)

    log: list[str] = []
    elsewhere, same = StateFolder(folder / "elsewhere"), StateFolder(folder / "same")
    report = restored(elsewhere, folder / "backup")
    async with running_again(elsewhere, log) as client:
        answer = await asyncio.to_thread(answer_of, elsewhere, base)
        job = await ended(client, under_way.job_id)

    back_up(old, folder / "backup")  # it stands still now, so that all can be compared
    restored(same, folder / "backup")
    there = files_of(old)
    parts = {part for part in KEPT if any(path.startswith(f"{part}/") for path in there)}
    files = differences(there, files_of(same))
    streams = differences(await streams_of(old), await streams_of(same))
    return Drill(under_way, report, answer, job, log, parts, files, streams)


async def backed_up_under_way(loop: Loop, folder: Path) -> UnderWay:
    """Train, and back up twice while that runs."""
    dataset_id = await loop.make_dataset(write_rows(folder / "rows.jsonl", 80))
    job = await train(loop, dataset_id, **LONG)
    answer = await asyncio.to_thread(answer_of, loop.state, loop.base_version_id)

    async def saved() -> int:
        found = await asyncio.to_thread(loop.client.jobs.retrieve, job.id)
        return int(found.get("checkpoint_step") or 0)

    step = await eventually(saved, within=60)
    assert step is not None
    artifact_bytes = sum(file.stat().st_size for file in files_in(loop.state, STORE))
    before = await asyncio.to_thread(loop.client.jobs.retrieve, job.id)
    first = await asyncio.to_thread(back_up, loop.state, folder / "backup")
    second = await asyncio.to_thread(back_up, loop.state, folder / "backup")
    after = await asyncio.to_thread(loop.client.jobs.retrieve, job.id)
    statuses = (str(before["status"]), str(after["status"]))
    return UnderWay(job.id, answer, step, artifact_bytes, first, second, statuses)


def back_up(state: StateFolder, backups: Path) -> Mapping[str, Any]:
    """What `mill backup --json` says."""
    return _said(mill(state.path, "backup", str(backups), "--json"))


def restored(state: StateFolder, backups: Path) -> Mapping[str, Any]:
    """What `mill restore --json` says."""
    return _said(mill(state.path, "restore", str(backups), "--json"))


def _said(ended: Any) -> Mapping[str, Any]:
    assert ended.status == 0, ended.err
    said: Mapping[str, Any] = json.loads(ended.out)
    return said


def answer_of(state: StateFolder, model: str) -> str:
    """Greedy, so that it is always the same."""
    from openai import OpenAI

    url = f"{state.read_runtime().http_url}/v1"
    turns: Any = [{"role": "user", "content": QUESTION}]
    with OpenAI(base_url=url, api_key=local_token(state), max_retries=0) as client:
        said = client.chat.completions.create(
            model=model, messages=turns, max_tokens=12, temperature=0
        )
    return str(said.choices[0].message.content)


@asynccontextmanager
async def running_again(state: StateFolder, log: list[str]) -> AsyncIterator[Modelmill]:
    """The restored folder, on ports of its own."""
    async with running_stack(state, OPTIONS, lambda name, line: log.append(f"{name} {line}")) as up:
        with connect_locally(state, up.runtime.http_url) as client:
            yield client


async def ended(client: Modelmill, job_id: str) -> Mapping[str, Any]:
    """The job once it has ended."""

    async def look() -> Mapping[str, Any] | None:
        job = await asyncio.to_thread(client.jobs.retrieve, job_id)
        return job if job["status"] in ("succeeded", "failed", "cancelled") else None

    job = await eventually(look, within=90)
    assert job is not None
    return job


def files_of(state: StateFolder) -> Mapping[str, str]:
    """Hashes of artifacts, keys, identities and certificates by their paths."""
    return {
        file.relative_to(state.path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files_in(state, KEPT)
    }


def files_in(state: StateFolder, parts: Sequence[str]) -> list[Path]:
    """All files of these parts of the folder."""
    found = (file for part in parts for file in (state.path / part).rglob("*"))
    return [file for file in found if file.is_file()]


async def streams_of(state: StateFolder) -> Mapping[str, list[Message]]:
    """All messages of each stream of a folder on which nothing runs."""
    found: dict[str, list[Message]] = {}
    with state.locked():
        async with (
            private_broker(state) as (url, password),
            open_looking(url, password, name="cli") as link,
        ):
            for name in SNAPSHOT_ORDER:
                last = (await link.js.stream_info(name)).state.last_seq
                found[name] = [(last,)]
                for sequence in range(1, last + 1):
                    with suppress(NotFoundError):  # one that is gone
                        raw = await link.js.get_msg(name, sequence)
                        message = (raw.seq, raw.subject, raw.data, str(raw.time), raw.headers)
                        found[name].append(message)
    return found


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """Names of what is not the same on both sides."""
    return [name for name in {*left, *right} if left.get(name) != right.get(name)]
