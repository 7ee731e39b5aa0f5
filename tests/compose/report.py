"""What the run measured: a table on the terminal and build/compose.json."""

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.compose.containers import ComposeProject

IMAGES = (
    "gateway",
    "moderation",
    "data-prep",
    "trainer",
    "optimizer-builder",
    "inference",
    "nats",
    "torch-base",
)


@dataclass
class Report:
    """Filled in as the run goes on; seconds unless the name says otherwise."""

    commit: str
    machine: str
    load_before: float
    image_megabytes: dict[str, float] = field(default_factory=dict)
    build_seconds: float = 0.0
    healthy_seconds: dict[str, float] = field(default_factory=dict)
    loop_seconds: float = 0.0
    healed_seconds: dict[str, float] = field(default_factory=dict)
    answer: str = ""
    chats_failed_while_a_replica_died: int = -1
    new_replica_found_seconds: float = 0.0
    total_seconds: float = 0.0
    failure: str = ""


def new_report(project: ComposeProject) -> Report:
    return Report(
        commit=project.run("git", "rev-parse", "--short=12", "HEAD"),
        machine=f"{platform.platform()}, {os.cpu_count()} cores",
        load_before=os.getloadavg()[0],
    )


def image_sizes(project: ComposeProject) -> dict[str, float]:
    """Megabytes of each image, the layers that it shares with others counted every time."""
    tag = project.environment.get("MODELMILL_TAG", "local")
    names = [f"modelmill/{name}:{tag}" for name in IMAGES]
    sizes = project.run("docker", "image", "inspect", "--format", "{{.Size}}", *names).split()
    return {name: round(int(size) / 1e6) for name, size in zip(IMAGES, sizes, strict=True)}


def show(report: Report, console: Console) -> None:
    table = Table(title="Containers")
    table.add_column("image")
    for name in ("MB", "healthy after s", "healed after s"):
        table.add_column(name, justify="right")
    for name in IMAGES:
        table.add_row(
            name,
            f"{report.image_megabytes.get(name, 0):.0f}",
            _seconds(report.healthy_seconds.get(name)),
            _seconds(report.healed_seconds.get(name)),
        )
    console.print(table)
    console.print(f"build {report.build_seconds:.0f} s, loop {report.loop_seconds:.0f} s", end=", ")
    console.print(f"all {report.total_seconds:.0f} s, load {report.load_before:.1f} at the start")
    if report.failure:
        return
    console.print(f"the model says {report.answer!r}, before and after each crash")
    console.print(
        f"a new replica is asked after {report.new_replica_found_seconds:.1f} s; chats that failed"
        f" while one died: {report.chats_failed_while_a_replica_died}"
    )


def save(report: Report, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(asdict(report), indent=1) + "\n")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
