"""Each of the six starts with certificates, answers who may call it, and refuses the others."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from modelmill.inference.v1.inference_service_pb2 import ListServingRequest
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill.jobs.v1.job_service_pb2 import ControlJobRequest
from modelmill.jobs.v1.job_service_pb2_grpc import JobServiceStub
from modelmill.moderation.v1.moderation_service_pb2 import DIRECTION_INPUT, CheckRequest
from modelmill.moderation.v1.moderation_service_pb2_grpc import ModerationServiceStub
from modelmill_cli.certificates import CertificateFolder
from modelmill_cli.keys import LocalKeys
from modelmill_service_kit.grpc_client import open_channel
from modelmill_service_kit.mutual_tls import MutualTls
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.service_process import (
    SECRET,
    refused_start,
    running_service,
    service_settings,
)
from modelmill_testkit.waiting import eventually

from tests.services.test_each_service_alone import settings_of_the_gateway

PROBE = Path(__file__).parents[2] / "deploy" / "images" / "probe.py"
OWNERS = ("data_prep", "trainer", "optimizer_builder")
CALLERS = {"inference": {"gateway", "moderation", "data-prep", "trainer"}}
"""Where not the gateway alone calls."""
BEHIND_THE_GATEWAY = ("moderation", *OWNERS, "inference")


@dataclass(frozen=True)
class Certificates:
    """What `mill certs` makes, as services are told of it."""

    made: CertificateFolder

    @classmethod
    def inside(cls, folder: Path) -> "Certificates":
        made = CertificateFolder(folder)
        made.ensure()
        return cls(made)

    def settings(self, service: str) -> dict[str, str]:
        name = service.replace("_", "-")
        return {
            "mtls_authority_path": str(self.made.certificate("ca")),
            "mtls_certificate_path": str(self.made.certificate(name)),
            "mtls_key_path": str(self.made.key(name)),
        }

    def identity(self, name: str) -> MutualTls:
        files = (self.made.certificate("ca"), self.made.certificate(name), self.made.key(name))
        return MutualTls(*files)

    def credentials(self, name: str) -> grpc.ChannelCredentials:
        files = (self.made.certificate("ca"), self.made.key(name), self.made.certificate(name))
        return grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))


def call_of(service: str) -> tuple[Callable[[grpc.aio.Channel], Any], Any, grpc.StatusCode]:
    """A call that changes nothing, and how it ends when it is let in."""
    if service == "moderation":
        asked = CheckRequest(tenant="nobody", text="hello", direction=DIRECTION_INPUT)
        return (lambda to: ModerationServiceStub(to).Check), asked, grpc.StatusCode.OK
    if service == "inference":
        stub = InferenceServiceStub
        return (lambda to: stub(to).ListServing), ListServingRequest(), grpc.StatusCode.OK
    unknown = ControlJobRequest(tenant="nobody", job_id="none")
    return (lambda to: JobServiceStub(to).ControlJob), unknown, grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("service", BEHIND_THE_GATEWAY)
async def test_it_answers_those_who_may_call_it_and_no_other_service(service: str, tmp_path: Path):
    ours = Certificates.inside(tmp_path / "certificates")

    async def status_for(name: str) -> grpc.StatusCode:
        method, request, _ = call_of(service)
        peer, identity = service.replace("_", "-"), ours.identity(name)
        async with open_channel(running.address, SECRET, identity=identity, peer=peer) as channel:
            try:
                await method(channel)(request, timeout=60)
            except grpc.aio.AioRpcError as error:
                return error.code()
        return grpc.StatusCode.OK

    async with (
        run_nats(tmp_path / "nats") as nats,
        running_service(
            service, service_settings(nats, tmp_path) | ours.settings(service)
        ) as running,
    ):
        assert await running.is_healthy(ours.credentials("client"))
        with pytest.raises(grpc.aio.AioRpcError):
            await running.is_healthy()
        callers = CALLERS.get(service, {"gateway"})
        for name in callers:
            assert await status_for(name) is call_of(service)[2]
        others = {name.replace("_", "-") for name in BEHIND_THE_GATEWAY if name != service}
        others -= callers
        for name in (*others, "client", "nats"):
            assert await status_for(name) is grpc.StatusCode.PERMISSION_DENIED, name

        assert await running.stop() == 0, running.errors
        assert_no_key_in(running.errors, ours)


async def test_the_gateways_public_api_requires_no_client_certificate(tmp_path: Path):
    ours = Certificates.inside(tmp_path / "certificates")
    LocalKeys(tmp_path).ensure()
    own = settings_of_the_gateway(tmp_path) | ours.settings("gateway")
    async with (
        run_nats(tmp_path / "nats") as nats,
        running_service("gateway", service_settings(nats, tmp_path) | own) as running,
    ):
        assert await running.is_healthy()
        assert await running.stop() == 0, running.errors
        assert_no_key_in(running.errors, ours)


@pytest.mark.parametrize("is_on", [True, False], ids=["with certificates", "without"])
async def test_a_containers_probe_asks_as_the_services_settings_say(tmp_path: Path, is_on: bool):
    files = Certificates.inside(tmp_path / "certificates").settings("moderation")
    if not is_on:
        files = dict.fromkeys(files, "")
    environment = {f"MODERATION_{name}".upper(): value for name, value in files.items()}

    async def status_of(target: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", PROBE, target), env=environment, stdout=DEVNULL
        )
        return await process.wait()

    async def says_well(target: str) -> bool:
        """Of a few times, as a container's probe is asked: it waits four seconds for an answer."""
        return await status_of(target) == 0

    async with (
        run_nats(tmp_path / "nats") as nats,
        running_service("moderation", service_settings(nats, tmp_path) | files) as running,
    ):
        await eventually(lambda: says_well(f"mtls:{running.ports['grpc']}"), within=60)
        if is_on:
            assert await status_of(f"grpc:{running.ports['grpc']}") == 1
        else:
            await eventually(lambda: says_well(f"grpc:{running.ports['grpc']}"), within=60)
        assert await running.stop() == 0
        assert await status_of(f"mtls:{running.ports['grpc']}") == 1


async def test_settings_that_are_half_given_are_one_clear_line(tmp_path: Path):
    files = Certificates.inside(tmp_path / "certificates").settings("moderation")
    del files["mtls_key_path"]
    async with run_nats(tmp_path / "nats") as nats:
        given = service_settings(nats, tmp_path) | files
        status, (line,) = await refused_start("moderation", given)

    assert status == 2
    assert line.endswith(
        "give all of MODERATION_MTLS_AUTHORITY_PATH, MODERATION_MTLS_CERTIFICATE_PATH,"
        " MODERATION_MTLS_KEY_PATH, or none"
    )


async def test_a_certificate_that_is_no_good_is_one_clear_line(tmp_path: Path):
    ours = Certificates.inside(tmp_path / "certificates")
    files = ours.settings("moderation") | {"mtls_key_path": str(ours.made.key("trainer"))}
    async with run_nats(tmp_path / "nats") as nats:
        status, (line,) = await refused_start(
            "moderation", service_settings(nats, tmp_path) | files
        )

    assert status == 2
    assert f"the key in {ours.made.key('trainer')} is not that of the certificate in" in line


def assert_no_key_in(log: str, ours: Certificates) -> None:
    for file in ours.made.path.glob("*-key.pem"):
        _, *body, _ = file.read_text().splitlines()
        assert not any(line in log for line in body), file.name
