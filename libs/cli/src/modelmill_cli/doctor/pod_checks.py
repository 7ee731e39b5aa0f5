"""Checks of a release in a cluster, as a pod of it sees them: `mill doctor --pod`."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
from modelmill_bus import stream_checks
from modelmill_service_kit.checks import Check, Finding, FindingSeverity, Symptom, found_by

from modelmill_cli.doctor import broker_settings, certificate_files, processes
from modelmill_cli.doctor.installation import OLDEST_BROKER, version_in
from modelmill_cli.doctor.machine import LEAST_DISK_BYTES, LEAST_SHARE
from modelmill_cli.doctor.pod_facts import RENEW_IN_CLUSTER, PodExamined
from modelmill_cli.doctor.processes import PEER_SECONDS
from modelmill_cli.tables import data_size

NOT_THE_GROUPS = stat.S_IRWXO | stat.S_IWGRP
"""Kubernetes hands secrets to the group of the pod, which may read them."""
EXPIRES = "modelmill_mtls_certificate_expires_timestamp_seconds"
SEE_LOGS = "See `kubectl describe` and `kubectl logs` of the pods of"
RUN_UPGRADE = "Run `helm upgrade`, whose Job makes what is missing"


def secret_modes(it: PodExamined) -> Iterator[Symptom]:
    """Mounted secrets that every user of the container may read, or others than we may write."""
    for folder, folders, names in os.walk(it.settings.secrets_folder):
        # Kubernetes mounts each file twice: the names are links into a folder with a date.
        folders[:] = [each for each in folders if not each.startswith("..")]
        for file in sorted(Path(folder) / name for name in names):
            with suppress(OSError):
                mode = stat.S_IMODE(file.stat().st_mode)
                if mode & NOT_THE_GROUPS:
                    yield Symptom(
                        f"{file} is a secret, and its mode {mode:03o} lets others read or write it",
                        "Set defaultMode: 0440 of its volume, and make the secret anew",
                    )


def service_unreachable(it: PodExamined) -> Iterator[Symptom]:
    """Services that the gateway could not call."""
    for name, answer in it.peers.items():
        if answer.problem:
            where = it.settings.services[name]
            yield Symptom(f"{name} at {where} {answer.problem}", f"{SEE_LOGS} {name}")


def metrics_silent(it: PodExamined) -> Iterator[Symptom]:
    """Components that hang, or to which the way is closed."""
    for name, page in it.pages.items():
        if page.status is None:
            yield Symptom(
                f"{name} does not show its metrics at {it.settings.pages[name]} within"
                f" {PEER_SECONDS:.0f} s",
                f"{SEE_LOGS} {name}",
            )


def metrics_refused(it: PodExamined) -> Iterator[Symptom]:
    """Components with another secret than ours."""
    for name, page in it.pages.items():
        if page.status == httpx.codes.UNAUTHORIZED:
            yield Symptom(
                f"{name} does not take the mounted service secret",
                "Run `kubectl rollout restart` of its Deployment, so that it reads the Secret anew",
            )


def other_version(it: PodExamined) -> Iterator[Symptom]:
    """Components of another release than this pod's."""
    for name, page in it.pages.items():
        if page.version not in (None, it.installed):
            yield Symptom(
                f"{name} runs {page.version}, and the chart's release is {it.installed}",
                "Wait until the rollout has ended, or give all images one tag",
            )


def gateway_not_ready(it: PodExamined) -> Iterator[Symptom]:
    """A gateway that does not take requests."""
    if it.gateway_ready != httpx.codes.OK:
        said = it.gateway_ready or "no answer"
        yield Symptom(
            f"the gateway is not ready: {it.settings.gateway_url}/readyz gives {said}",
            f"It waits for the broker or for a service behind it. {SEE_LOGS} gateway",
        )


def peer_certificate(it: PodExamined) -> Iterator[Symptom]:
    """Certificates that others show, by their metrics."""
    for name, page in it.pages.items():
        if at := page.totals.get(EXPIRES):
            ends = datetime.fromtimestamp(at, UTC)
            if ends <= it.now + certificate_files.SOON:
                verb = "ended" if ends <= it.now else "ends"
                yield Symptom(f"the certificate of {name} {verb} on {ends:%Y-%m-%d}", it.renewal)


def broker_version(it: PodExamined) -> Iterator[Symptom]:
    """The version of the broker that runs."""
    found = version_in(it.broker.version) if it.broker is not None else None
    if found is not None and found < OLDEST_BROKER:
        yield Symptom(
            f"nats-server is {'.'.join(map(str, found))}, and 2.11 or newer is needed",
            "Give the brokers that nats.address names a newer image",
        )


def disk_space(it: PodExamined) -> Iterator[Symptom]:
    """Free bytes on the volume of the artifacts."""
    if it.artifacts is None:
        return
    free, whole = it.artifacts
    if free < max(LEAST_DISK_BYTES, LEAST_SHARE * whole):
        yield Symptom(
            f"{data_size(free)} of {data_size(whole)} are free on the volume of the artifacts",
            "Retire versions and datasets that nobody uses, or enlarge the claim"
            " (artifacts.volume.size)",
        )


OWN: Sequence[Check[PodExamined]] = (
    Check("secret-modes", FindingSeverity.ERROR, "no other user reads a secret", secret_modes),
    Check(
        "service-unreachable",
        FindingSeverity.ERROR,
        "each service takes calls of the gateway",
        service_unreachable,
    ),
    Check("metrics-silent", FindingSeverity.ERROR, "each shows its metrics in 3 s", metrics_silent),
    Check(
        "metrics-refused", FindingSeverity.ERROR, "each takes the service secret", metrics_refused
    ),
    Check("service-version", FindingSeverity.WARNING, "all are of one release", other_version),
    Check(
        "gateway-not-ready", FindingSeverity.ERROR, "the gateway takes requests", gateway_not_ready
    ),
    Check(
        "peer-certificate",
        FindingSeverity.WARNING,
        "no certificate that is shown ends within two weeks",
        peer_certificate,
    ),
    Check("broker-version", FindingSeverity.ERROR, "the broker is 2.11 or newer", broker_version),
    Check(
        "disk-space",
        FindingSeverity.ERROR,
        "at least 2 GiB and 5 % of the artifacts' volume are free",
        disk_space,
    ),
)
"""Whose wording or facts are a cluster's own."""

REMEDIES = {
    "broker-unreachable": f"{SEE_LOGS} nats, or whether nats.address is right",
    "stream-missing": RUN_UPGRADE,
    "stream-subjects": RUN_UPGRADE,
    "stream-memory": "Copy it into a stream on the disk with NATS' own tools, before a broker ends",
    "engine-restarts": "Usually memory: load fewer versions, or raise limits.memory of inference",
    "files-used-up": "Raise the limit of open files of the nodes' container runtime",
    "certificate-early": f"Set the clock of the nodes right. {RENEW_IN_CLUSTER}",
    "clock-skew": "Let NTP keep the clocks of all nodes: claims, tokens and certificates go by it",
}
"""What checks of one machine would have people do is nothing for a cluster."""

SHARED: Sequence[Check[PodExamined]] = (
    *(each for each in certificate_files.CHECKS if each.id != "authority-key"),
    *broker_settings.CHECKS,
    *stream_checks.CHECKS,
    *processes.PAGE_CHECKS,
)
"""That a machine has as well."""

POD_CHECKS: Sequence[Check[PodExamined]] = (*OWN, *SHARED)


def diagnose_pod(it: PodExamined) -> Iterator[Finding]:
    """What all checks find, each with a remedy for a cluster."""
    for finding in found_by(POD_CHECKS, it):
        yield replace(finding, remedy=REMEDIES.get(finding.check, finding.remedy))
