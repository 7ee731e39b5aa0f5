"""A deletion of a tenant during which every service that takes part in it is killed.

Then every file of the state folder is searched for the tenant's name and for words of its rows:
streams of the broker, artifacts, work folders, uploads and traces.
"""

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import STREAMS
from modelmill_cli.commands.models import bring_in
from modelmill_cli.gateway import connect_as_operator
from modelmill_cli.keys import ALL_SCOPES, LOCAL_LIFE, LocalKeys
from modelmill_cli.stack import StackOptions
from modelmill_client import Modelmill, Retries
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

from tests.e2e.conftest import HYPER_PARAMETERS, MAPPING, QUICK_CLAIMS, Loop, running_loop

pytestmark = [pytest.mark.timeout(300), pytest.mark.tier("drills")]

GONE, STAYS = "gone-tenant", "staying-tenant"
EPOCHS = {GONE: 40, STAYS: 1}
"""Of a training that is still running when the deletion begins, and of one that has ended."""
KILLED = ("gateway", "trainer", "data_prep", "moderation")
ROUNDS = 3
LIMITED = "|".join(each.name for each in STREAMS if each.max_per_subject)
DROPPED = re.compile(rf"/streams/({LIMITED})/msgs/")
"""Where older values of a record lie: dropped by the stream's own limit before the deletion, which
the broker does not overwrite. What it still gives out there is searched message by message."""


def word_of(tenant: str) -> str:
    """Stands in each row of the tenant's, and nowhere else."""
    return f"quagga{tenant.replace('-', '')}"


def client_of(loop: Loop, tenant: str) -> Modelmill:
    token = LocalKeys(loop.state.keys).issue(
        subject=f"user-of-{tenant}", tenant=tenant, scopes=ALL_SCOPES, life=LOCAL_LIFE
    )
    return Modelmill(loop.stack.runtime.http_url, token)


async def move_in(loop: Loop, tenant: str, folder: Path) -> None:
    """Give the tenant a base, rows, two datasets that were compared, a key, a limit, a report,
    answers, and a training that runs."""
    base = make_tiny_llama(folder / f"base-of-{tenant}")
    version = await bring_in(loop.state, base, name=f"base-of-{tenant}", tenant=tenant)
    with client_of(loop, tenant) as client:
        job_id = await asyncio.to_thread(_fill, client, tenant, version.version_id, folder)

        async def is_begun() -> bool:
            job = await asyncio.to_thread(client.jobs.retrieve, job_id)
            return job["status"] != "queued"

        await eventually(is_begun, within=120)


def _fill(client: Modelmill, tenant: str, base: str, folder: Path) -> str:
    word = word_of(tenant)
    file = folder / f"rows-of-{tenant}.jsonl"
    rows = [
        {"word": f"{word} {number}", "gloss": f"it {does}", "label": kind}
        for number in range(60)
        for kind, does in (("animal", "barks"), ("plant", "grows"))
    ]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    uploaded = client.files.upload(file)
    client.uploads.create(filename=f"{word}.jsonl", bytes=10, purpose="fine-tune")
    other, made = [
        client.datasets.create(file_id=uploaded["id"], name=word, mapping=MAPPING, seed=seed)
        for seed in (7, 0)
    ]
    for each in (other, made):
        assert client.jobs.wait(each["job_id"])["status"] == "succeeded"
    client.datasets.compare(made["id"], other["id"])
    client.keys.create(name=word)
    client.budget.set(limits={"requests_per_minute": 600})
    client.feedback.create(report="missed", text=word)
    asked = [{"role": "user", "content": word}]
    chat = {"model": base, "messages": asked, "max_tokens": 4}
    client.request("POST", "/v1/chat/completions", json=chat)
    job = client.fine_tuning.jobs.create(
        model=base,
        training_file=made["id"],
        suffix=word,
        hyperparameters={**HYPER_PARAMETERS, "epochs": EPOCHS[tenant], "checkpoint_steps": 3},
    )
    return job["id"]


def files_with(state: Path, *words: str) -> Iterator[str]:
    """Files below the folder in whose contents or paths one of the words stands."""
    for file in state.rglob("*"):
        if not file.is_file():
            continue
        whole = str(file.relative_to(state)).encode() + file.read_bytes()
        if any(word.encode() in whole for word in words):
            yield str(file.relative_to(state))


async def records_naming(loop: Loop, name: str) -> set[str]:
    """What kinds of records the broker still gives out that name somebody."""
    runtime, found = loop.stack.runtime, set[str]()
    for stream in STREAMS:
        if not stream.max_per_subject or stream.work_queue:
            continue
        identity = runtime.identity(stream.eraser)
        async with Bus.connect(runtime.nats_url, identity, name=stream.eraser) as bus:
            async for stored in bus.replay([row.template for row in stream.rows]):
                if name in f"{stored.subject} {stored.body}":
                    found.add(".".join(stored.subject.split(".")[:2]))
    return found


async def test_a_deletion_whose_services_are_killed_ends_and_leaves_nothing_on_the_disk(
    tmp_path: Path,
):
    options = StackOptions(http_port=free_port(), overrides=QUICK_CLAIMS)
    async with running_loop(tmp_path, options) as loop:
        for tenant in (STAYS, GONE):
            await move_in(loop, tenant, tmp_path)
        assert {*files_with(loop.state.path, word_of(GONE))}
        with connect_as_operator(loop.state) as plain:
            operator = plain.with_options(retries=Retries(times=8))
            assert operator.tenants.delete(GONE)["status"] == "deleting"
            for _ in range(ROUNDS):
                for name in KILLED:
                    await killed(loop, name)

            async def is_deleted() -> bool:
                shown = await asyncio.to_thread(operator.tenants.retrieve, GONE)
                return shown["status"] == "deleted"

            await eventually(is_deleted, within=120)
            removed = operator.tenants.retrieve(GONE)["removed"]
            stays = operator.tenants.retrieve(STAYS)

        async def left() -> list[str]:
            found = files_with(loop.state.path, word_of(GONE), GONE)
            return [file for file in found if not DROPPED.search(file)]

        async def is_clean() -> bool:
            return not await left() and await records_naming(loop, GONE) == {"tenant.state"}

        await eventually(is_clean, within=60)
    once = ("models", "files", "keys", "feedback", "comparisons")
    assert {kind: removed[kind] for kind in once} == dict.fromkeys(once, 1)
    assert removed["datasets"] == 2
    assert stays["status"] == "active"
    assert {*files_with(loop.state.path, word_of(STAYS))}


async def killed(loop: Loop, name: str) -> None:
    """Kill a service, and wait until it was started again."""
    process = loop.stack.processes[name]
    pid = process.pid
    os.kill(pid, signal.SIGKILL)

    async def is_another() -> bool:
        return process.pid != pid

    await eventually(is_another, within=30)
