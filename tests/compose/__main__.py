"""`make compose-test`: the images, the whole loop in them, a crash of each, two of some; then gone.

Needs Docker with compose; makes a base image by itself where no registry answers. Always removes
its own containers, networks and volumes.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from modelmill_cli.keys import ALL_SCOPES, LocalKeys
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.ports import free_port
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.compose import report as reporting
from tests.compose.containers import BUILD_SECONDS, ComposeError, ComposeProject
from tests.compose.crashes import Crashes
from tests.compose.journey import Journey, write_rows

ROOT = Path(__file__).resolve().parents[2]
TENANT = "demo"
ALIAS = "kinds"
START_SECONDS = 180.0
CHATS = 20
BEHIND_THE_GATEWAY = ("moderation", "data-prep", "trainer", "optimizer-builder", "inference")


class Steps:
    """Says what is being done, and for how long already."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        task = self._progress.add_task(what, total=1)
        yield
        self._progress.update(task, completed=1)


def main() -> int:
    console = Console()
    # A CI job that is cancelled sends SIGTERM; what was started must go then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    columns = (SpinnerColumn(finished_text="[green]ok"), TextColumn("{task.description}"))
    with tempfile.TemporaryDirectory(prefix="modelmill-compose-") as folder:
        project = _project(Path(folder))
        report = reporting.new_report(project)
        began = time.monotonic()
        try:
            with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
                _run(project, Path(folder), report, Steps(progress))
        except (ComposeError, KeyboardInterrupt) as error:
            report.failure = str(error) or "interrupted"
            console.print(f"[red]compose-test:[/red] {report.failure}", highlight=False)
        finally:
            project.remove()
            report.total_seconds = round(time.monotonic() - began, 1)
            reporting.save(report, ROOT / "build" / "compose.json")
    reporting.show(report, console)
    return 1 if report.failure else 0


def _project(folder: Path) -> ComposeProject:
    """Secrets and ports of its own, no telemetry, and claims that pass on soon."""
    environment = {
        "COMPOSE_ENV_FILES": str(folder / "secrets" / "env"),
        "COMPOSE_PROFILES": "",
        "OTLP_ENDPOINT": "",
        "PROMETHEUS_URL": "",
        "GATEWAY_HTTP_PORT": str(free_port()),
        "GATEWAY_GRPC_PORT": str(free_port()),
        "CLAIM_SECONDS": "5",
        "MILL": str(Path(sys.executable).parent / "mill"),
    }
    project = ComposeProject(ROOT, f"modelmill-test-{os.getpid()}", environment)
    project.run("deploy/compose/make-secrets", str(folder / "secrets"))
    return project


def _run(project: ComposeProject, folder: Path, report: reporting.Report, step: Steps) -> None:
    with step("build the images"), _measured(report, "build_seconds"):
        project.run("deploy/compose/build-images", timeout=BUILD_SECONDS)
    report.image_megabytes = reporting.image_sizes(project)
    with step("start, until every container is healthy"):
        report.healthy_seconds = project.start(within=START_SECONDS)
    with step("ask each service without a certificate"):
        _refused_without_certificate(project)
    journey = Journey(
        f"http://127.0.0.1:{project.environment['GATEWAY_HTTP_PORT']}", _token(folder)
    )
    try:
        with step("rows to a model that answers"), _measured(report, "loop_seconds"):
            base_version_id = _import_base(project, folder)
            report.answer = _loop(journey, folder, base_version_id)
        crashes = Crashes(project, journey, ALIAS, report.answer)
        # The gateway after the broker: it would answer from memory what the broker has lost.
        for service in ("moderation", "inference", "nats", "gateway"):
            with step(f"crash {service}"):
                report.healed_seconds[service] = crashes.crash(service)
        with step("crash data-prep, trainer and optimizer-builder at work"):
            report.healed_seconds |= crashes.crash_workers(folder, base_version_id)
        with step("two of moderation, inference and trainer, one of which dies"):
            _scale(project, crashes, report)
    finally:
        journey.close()


def _refused_without_certificate(project: ComposeProject) -> None:
    """Raise ComposeError when a service answers who proves nothing."""
    probe = ("python3", "-I", "-S", "/opt/probe.py", "grpc:50051")
    for service in BEHIND_THE_GATEWAY:
        try:
            project.compose("exec", "-T", service, *probe)
        except ComposeError as error:
            if "grpc:50051: " not in str(error):  # the probe's own words
                raise
        else:
            raise ComposeError(f"{service} answers without a certificate")


def _import_base(project: ComposeProject, folder: Path) -> str:
    """A tiny real model, brought in as a person would; its version's id."""
    base = make_tiny_llama(folder / "base")
    folder.chmod(0o755)
    printed = project.run("deploy/compose/import-model", str(base), "--name", "tiny")
    return printed.splitlines()[-1]


def _loop(journey: Journey, folder: Path, base_version_id: str) -> str:
    """File, dataset, training, build, alias, chat; the answer."""
    dataset_id, dataset_job = journey.order_dataset(write_rows(folder / "kinds.jsonl", 60))
    journey.job_result(dataset_job)
    training = journey.order_training(dataset_id, base_version_id)
    adapter_id = journey.job_result(training)["version_id"]
    version_id = journey.job_result(journey.build_of(adapter_id))["version_id"]
    journey.call("PUT", f"/v1/aliases/{ALIAS}", json={"version_id": version_id})
    return journey.chat(ALIAS)


def _scale(project: ComposeProject, crashes: Crashes, report: reporting.Report) -> None:
    doubled = ("moderation", "inference", "trainer")
    scales = [word for service in doubled for word in ("--scale", f"{service}=2")]
    project.start("--no-recreate", *scales, within=START_SECONDS)
    found = crashes.chat_until_each_replica_answered("moderation")
    report.new_replica_found_seconds = round(found, 1)
    failed = crashes.chat_while_a_replica_dies("moderation", CHATS)
    report.chats_failed_while_a_replica_died = failed
    project.wait_healthy(within=START_SECONDS)
    # The call that the dying replica had in hand may fail; no other one.
    if failed > 1:
        raise ComposeError(f"{failed} of {CHATS} chats failed while one of two replicas died")


@contextmanager
def _measured(report: reporting.Report, name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    setattr(report, name, round(time.monotonic() - began, 1))


def _token(folder: Path) -> str:
    return LocalKeys(folder / "secrets" / "keys").issue(
        subject="compose-test", tenant=TENANT, scopes=ALL_SCOPES, life=timedelta(hours=1)
    )


sys.exit(main())
