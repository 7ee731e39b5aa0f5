"""mtls.cost: what certificates add to a call between services, once it is connected.

A unary call with 1 KB in and 1 KB out over loopback, one in flight on one kept channel, from a
process to another; milliseconds as the caller sees it, p50 of a round. Value: ours - floor. Ours:
`RpcServer` and `open_channel` with certificates, TLS and the check of the caller's name included.
Denominator (the floor): the same server and channel without. Handshakes are not in it: a channel
makes one when it connects, at most every 30 s. Rival: none.
"""

import secrets
import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path

from modelmill.moderation.v1.moderation_service_pb2 import CheckRequest
from modelmill.moderation.v1.moderation_service_pb2_grpc import ModerationServiceStub
from modelmill_cli.certificates import CertificateFolder
from modelmill_service_kit.grpc_client import open_channel
from modelmill_service_kit.mutual_tls import MutualTls

from tests.bench.echo_peers import TEXT
from tests.bench.figures import Figures, Goal, Line
from tests.bench.gateway_latency import echo_process
from tests.bench.harness import WORK_FOLDER, Group, Measure, Run

ID = "mtls.cost"
CALLS = 5000
SECONDS, PREPARE_SECONDS = 45.0, 3.0
CALL_SECONDS = 5.0
GOAL = Goal(1.5)


async def measure(run: Run) -> list[Line]:
    """One entry."""
    made = CertificateFolder((WORK_FOLDER / "certificates").absolute())
    made.ensure()
    secret = secrets.token_hex(8)
    async with AsyncExitStack() as stack:

        async def turn(identity: MutualTls | None, **more: str) -> Measure:
            settings = more | {"ECHO_SERVICE_SECRET": secret}
            echo = await stack.enter_async_context(echo_process("mtls_echo", **settings))
            address = f"127.0.0.1:{echo.ports['grpc']}"
            channel = open_channel(address, secret, identity=identity, peer="moderation")
            stub = ModerationServiceStub(await stack.enter_async_context(channel))
            return lambda: _median(stub, run.pick(CALLS, 200))

        contestants = {
            "ours": await turn(_identity(made, "gateway"), **_settings(made, "moderation")),
            "floor": await turn(None),
        }
        rounds = await run.interleaved(ID, contestants, seconds=SECONDS, steady=["p50"])
    ours, floor = rounds.median("ours", "p50"), rounds.median("floor", "p50")
    note = f"{ours:.3f} ms a call with certificates, {floor:.3f} ms without"
    against = "the same call without TLS"
    added = ours - floor
    line = rounds.line(ID, "p50", unit="ms", against=against, goal=GOAL, note=note, value=added)
    return [line]


def _files(made: CertificateFolder, name: str) -> tuple[Path, Path, Path]:
    return made.certificate("ca"), made.certificate(name), made.key(name)


def _identity(made: CertificateFolder, name: str) -> MutualTls:
    return MutualTls(*_files(made, name))


def _settings(made: CertificateFolder, name: str) -> dict[str, str]:
    kinds = ("AUTHORITY", "CERTIFICATE", "KEY")
    files = zip(kinds, _files(made, name), strict=True)
    return {f"ECHO_MTLS_{kind}_PATH": str(file) for kind, file in files}


async def _median(stub: ModerationServiceStub, calls: int) -> Figures:
    request, milliseconds = CheckRequest(text=TEXT), []
    for _ in range(calls):
        began = time.perf_counter()
        await stub.Check(request, timeout=CALL_SECONDS)
        milliseconds.append((time.perf_counter() - began) * 1e3)
    return {"p50": statistics.median(milliseconds)}


GROUP = Group((ID,), measure, SECONDS + PREPARE_SECONDS)
