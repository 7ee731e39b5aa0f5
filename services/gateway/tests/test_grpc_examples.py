"""The examples, as a client's developer would run them: processes of their own, other runtimes."""

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from gateway_support.another_gateway import another_gateway
from gateway_support.certificates import CertificateFiles
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import BUILD, House
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobResult,
    JobState,
)
from modelmill_bus.subjects import job_state
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = Path(__file__).parents[1] / "examples"
PYTHON = (sys.executable, str(EXAMPLES / "python" / "chat.py"))
NODE = ("node", str(EXAMPLES / "node" / "chat.js"))


async def run(*command: str, **environment: str) -> tuple[int | None, str, str]:
    """Status, output and errors of a process."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


def account(house: House, **claims: Any) -> dict[str, str]:
    """What a client is given."""
    return {
        "MODELMILL_ADDRESS": house.grpc_address,
        "MODELMILL_TOKEN": house.issuer.token(**claims),
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node_modules(pytestconfig: pytest.Config) -> str:
    """What the example needs, installed from its lock once and kept beside the tests' cache."""
    if shutil.which("npm") is None:
        pytest.skip("needs Node and npm")
    lock = (EXAMPLES / "node" / "package-lock.json").read_bytes()
    cache = pytestconfig.cache.mkdir(f"gateway-node-{hashlib.sha256(lock).hexdigest()[:16]}")
    if not (cache / "complete").exists():
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(EXAMPLES / "node" / name, cache)
        command = ("npm", "ci", "--no-audit", "--no-fund", "--prefix", str(cache))
        status, _, errors = await run(*command)
        assert status == 0, errors
        (cache / "complete").touch()
    return str(cache / "node_modules")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house_with_tls(
    shared_house: House, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    files = CertificateFiles.inside(tmp_path_factory.mktemp("tls"))
    pair = {"tls_certificate_path": files.certificate, "tls_key_path": files.key}
    async with another_gateway(shared_house, **pair) as running:
        yield running.house


async def test_python_asks_whole_and_streamed(house: House):
    status, output, errors = await run(*PYTHON, "chat", "hello", **account(house))

    assert (status, errors) == (0, "")
    assert output.splitlines() == ["Hello, world", f"(stop, {BUILD})", "Hello, world"]


async def test_python_uploads_orders_and_watches_to_the_end(house: House, tmp_path: Path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"messages": []}\n')
    command = (*PYTHON, "tune", str(rows), "--model", "tiny", "--name", "mine")
    running = asyncio.create_task(run(*command, **account(house, tenant="tuner")))
    async with grpc_stub(house, tenant="tuner") as stub:

        async def ordered() -> list[pb.Job]:
            assert not running.done(), running.result()
            request = pb.ListJobsRequest(kind="train")
            return list((await stub.ListJobs(request, timeout=CALL_SECONDS)).jobs)

        await eventually(ordered)
        (job,) = await ordered()
    result = JobResult(version_id="mv-made")
    for fields in (
        {"status": JOB_STATUS_RUNNING, "attempt": 1, "fence": 1},
        {"status": JOB_STATUS_SUCCEEDED, "result": result},
    ):
        state = JobState(job_id=job.id, kind="train", tenant="tuner", **fields)
        state.updated_at.GetCurrentTime()
        await house.bus.publish(job_state(job.id), state)
    status, output, errors = await running

    assert (status, errors) == (0, "")
    first, *events, last = output.splitlines()
    assert (first, last) == (f"job {job.id}", "made mv-made")
    assert [event.partition(" ")[2] for event in events] == ["running, attempt 1", "succeeded"]
    assert (job.spec["name"], house.trainer.specs[-1].name) == ("mine", "mine")


async def test_node_streams_an_answer_with_tls(house_with_tls: House, node_modules: str):
    root = str(house_with_tls.settings.tls_certificate_path)
    environment = account(house_with_tls) | {"NODE_PATH": node_modules, "MODELMILL_TLS_ROOT": root}
    # A certificate is for a name, and Node warns of numbers.
    environment["MODELMILL_ADDRESS"] = house_with_tls.grpc_address.replace("127.0.0.1", "localhost")
    status, output, errors = await run(*NODE, "hello", **environment)

    assert (status, output) == (0, "Hello, world\n"), errors
    assert errors.splitlines()[1] == f"ended: stop, answered by {BUILD}"
    assert errors.startswith("request: req-")


async def test_node_says_what_was_refused_in_one_line(house: House, node_modules: str):
    environment = account(house, scope="files") | {"NODE_PATH": node_modules}
    status, output, errors = await run(*NODE, "hello", **environment)

    assert (status, output) == (1, "")
    assert errors.splitlines()[-1].startswith("PERMISSION_DENIED: ")
