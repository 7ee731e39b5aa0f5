"""`mill doctor --pod`: nothing of a release that is well, and each planted problem by its check."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import pytest_asyncio
from modelmill_bus.inspection import BrokerState, InspectedStream
from modelmill_cli.app import run_app
from modelmill_cli.doctor.pod_checks import EXPIRES, POD_CHECKS, diagnose_pod
from modelmill_cli.doctor.pod_facts import DiskRoom, PodExamined
from modelmill_testkit.ports import free_port

from tests.doctor.release import ROOT, Release, expire, page_with, running_release

pytestmark = pytest.mark.tier("test")


@pytest_asyncio.fixture
async def release(tmp_path: Path) -> AsyncIterator[Release]:
    async with running_release(tmp_path) as it:
        yield it


def found_in(it: PodExamined) -> set[str]:
    return {finding.check for finding in diagnose_pod(it)}


def nowhere() -> str:
    return f"localhost:{free_port()}"


def peer_down(it: Release) -> Release:
    return it.changed(services={**it.settings.services, "trainer": nowhere()})


def another_answers(it: Release) -> Release:
    """Where the trainer should be is somebody with another name in the certificate."""
    services = it.settings.services
    return it.changed(services={**services, "trainer": services["inference"]})


def page_away(it: Release) -> Release:
    return it.changed(pages={**it.settings.pages, "trainer": nowhere()})


def world_readable(it: Release) -> Release:
    it.settings.service_secret_file.resolve().chmod(0o444)
    return it


def expired(it: Release) -> Release:
    expire(it)
    return it


def no_certificate(it: Release) -> Release:
    file = it.settings.mtls_certificate_path.resolve()
    file.chmod(0o640)
    file.write_text("no certificate")
    file.chmod(0o440)
    return it


def lazy_broker(it: Release) -> Release:
    file = it.settings.secrets_folder.parent / "lazy.conf"
    assert it.settings.broker_config_path is not None
    text = it.settings.broker_config_path.read_text().replace("sync_interval: always", "")
    file.write_text(text)
    return it.changed(broker_config_path=file)


PLANTED: Mapping[str, tuple[str, Callable[[Release], Release]]] = {
    "peer down": ("service-unreachable", peer_down),
    "another answers": ("service-unreachable", another_answers),
    "page away": ("metrics-silent", page_away),
    "another secret": ("metrics-refused", lambda it: it.showing(page_with({}, secret="other"))),
    "another release": ("service-version", lambda it: it.showing(page_with({}, release="0.0.9"))),
    "another's certificate ends": (
        "peer-certificate",
        lambda it: it.showing(page_with({EXPIRES: 1.0})),
    ),
    "records dropped": (
        "records-dropped",
        lambda it: it.showing(page_with({"modelmill_usage_dropped_total": 7})),
    ),
    "gateway away": ("gateway-not-ready", lambda it: it.changed(gateway_url=f"http://{nowhere()}")),
    "world-readable secret": ("secret-modes", world_readable),
    "expired certificate": ("certificate-expired", expired),
    "no certificate": ("certificate-unreadable", no_certificate),
    "broker that does not sync": ("broker-sync", lazy_broker),
    "broker away": ("broker-unreachable", lambda it: it.changed(nats_url=f"nats://{nowhere()}")),
}


async def test_nothing_is_found_in_a_release_that_is_well(release: Release):
    assert [*diagnose_pod(await release.examined())] == []


@pytest.mark.parametrize("what", PLANTED)
async def test_a_planted_problem_is_found_by_its_check_alone(what: str, release: Release):
    check, plant = PLANTED[what]
    planted = await plant(release).examined()
    assert found_in(planted) == {check}
    assert all(it.problem and it.remedy for it in diagnose_pod(planted))


async def test_a_service_that_is_not_ready_is_found(release: Release):
    await release.servers["inference"].set_ready(False)
    (found,) = diagnose_pod(await release.examined())
    assert (found.check, "inference" in found.problem) == ("service-unreachable", True)


async def test_a_nearly_full_stream_an_old_broker_and_a_full_volume_are_found(release: Release):
    it = await release.examined()
    assert isinstance(it.broker, BrokerState)
    jobs = it.broker.streams["JOBS"]
    assert isinstance(jobs, InspectedStream)
    full = replace(jobs, used_bytes=int(0.9 * jobs.limit_bytes))
    nearly = replace(it.broker, streams={**it.broker.streams, "JOBS": full})
    assert found_in(replace(it, broker=nearly)) == {"stream-full"}
    assert found_in(replace(it, broker=replace(it.broker, version="2.9.0"))) == {"broker-version"}
    late = replace(it.broker, ahead_seconds=60.0)
    assert found_in(replace(it, broker=late)) == {"clock-skew"}
    gone = replace(it.broker, streams={**it.broker.streams, "JOBS": None})
    (missing,) = diagnose_pod(replace(it, broker=gone))
    assert (missing.check, "mill up" in missing.remedy) == ("stream-missing", False)
    assert found_in(replace(it, artifacts=DiskRoom(1 << 30, 100 << 30))) == {"disk-space"}


def test_each_check_has_an_id_of_its_own_and_the_reference_has_it():
    names = [check.id for check in POD_CHECKS]
    assert len(names) == len({*names})
    text = (ROOT / "docs" / "reference" / "mill.md").read_text("utf-8")
    section = text.partition("### A release on Kubernetes")[2].partition("\n## ")[0]
    own = re.findall(r"^\| `([a-z-]+)`, (\w+) \| (.*) \|$", section, re.MULTILINE)
    shared = section.partition("As of one machine: ")[2].partition(".\n")[0]
    said = {check.id: (check.severity.value, check.about) for check in POD_CHECKS}
    assert {name: (severity, about) for name, severity, about in own} == {
        name: said[name] for name in {*said} - {*re.findall(r"`([a-z-]+)`", shared)}
    }
    assert {*re.findall(r"`([a-z-]+)`", shared)} <= {*said}


def image_lacks() -> list[str]:
    """Top-level modules of this environment that the image of data-prep does not have."""
    lock = (ROOT / "services" / "data_prep" / "requirements.txt").read_text()
    locked = set(re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE))
    script = ROOT / "deploy" / "images" / "parts.py"
    printed = subprocess.run(
        [sys.executable, script, ROOT / "services" / "data_prep"],
        capture_output=True,
        text=True,
        check=True,
    )
    parts = {Path(line).name.replace("_", "-") for line in printed.stdout.split()}
    ours = {f"modelmill-{name}" for name in parts} | {"modelmill"}
    return [
        top
        for top, names in packages_distributions().items()
        if not {re.sub(r"[._]", "-", name.lower()) for name in names} & (locked | ours)
    ]


RUN = """
import sys
lacking = set(sys.argv[1].split(","))
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in lacking:
            raise ModuleNotFoundError(f"the image has no {name}", name=name)
sys.meta_path.insert(0, Lacking())
from modelmill_cli.main import run
sys.argv = ["mill", "doctor", "--pod"]
run()
"""


async def said_in_the_image(release: Release) -> tuple[int | None, str, str]:
    """Status and output of the command with no module that its image lacks."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN, ",".join(image_lacks())),
        env={"PATH": os.environ["PATH"], "HOME": "/tmp", **release.environment()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_command_says_nothing_of_a_release_that_is_well(release: Release):
    assert {"torch", "jwt", "openai"} <= {*image_lacks()}
    assert await said_in_the_image(release) == (0, "", "")


async def test_the_command_says_one_line_with_a_remedy_and_ends_with_1(release: Release):
    status, out, err = await said_in_the_image(world_readable(peer_down(release)))
    lines = out.splitlines()
    assert (status, err, len(lines)) == (1, "", 2)
    assert re.match(r"error secret-modes: .*444 lets others .*\. Set defaultMode: 0440", lines[0])
    assert re.match(r"error service-unreachable: trainer at .*\. See `kubectl", lines[1])


def test_outside_of_a_pod_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("DOCTOR_GATEWAY_URL", "http://gateway:8080")
    assert run_app(["doctor", "--pod"]) == 2
    said = capsys.readouterr().err
    assert "DOCTOR_NATS_URL" in said
    assert "DOCTOR_GATEWAY_URL" not in said
    assert "helm test" in said
    assert run_app(["doctor", "--pod", "--broker-config", "x"]) == 2
