"""What `mill demo` ends with: every figure from this run, beside its goal where it has one."""

import json
import os
import platform
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from modelmill_cli.demo.journey import Findings
from modelmill_cli.tables import data_size
from modelmill_cli.trace_collector import draw_trace, last_trace, missing_parents

SAMPLE_SECONDS = 0.5


class MemoryWatch:
    """Samples the sum of resident memory twice a second until the block ends.

    Pages that processes share are counted once for each: the true figure is at most this.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="memory watch")

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._ended.wait(SAMPLE_SECONDS):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_bytes = max(self.peak_bytes, total)


def machine_facts() -> dict[str, str]:
    """System and processor, in words."""
    return {"platform": platform.platform(), "processor": _processor()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores = os.cpu_count() or len(names)
    return f"{cores} x {names[0]}" if names else platform.processor()


CHAT, ORDER = "POST /v1/chat/completions", "POST /v1/fine_tuning/jobs"


@dataclass(frozen=True)
class DemoReport:
    """What a run of the demo measured, for people and as JSON."""

    findings: Findings
    spans_file: Path
    peak_bytes: int
    seconds: float

    def show(self, console: Console) -> None:
        """Print tables of the run, the refusal, the answer and its trace."""
        made, asked = self.findings.ended.made, self.findings.asked
        console.rule("[bold]what this run measured")
        console.print(_data_table(made.dataset))
        console.print(_score_table(made.training, made.build))
        console.print(_build_table(made.build))
        console.print(f"refused: [dim]{asked.refusal}[/dim]")
        console.print(f"asked:   {asked.question}")
        console.print(
            f"answer:  [bold]{asked.answer}[/bold]   (version {asked.answered_by}, openai SDK)"
        )
        self._print_trace(console, CHAT, "the answer's trace")
        self._print_trace(console, ORDER, "the fine-tuning job's trace")
        steps = "  ".join(f"{name} {took:.0f} s" for name, took in self.findings.seconds.items())
        console.print(f"time: {self.seconds:.0f} s   ({steps})")
        peak = self.peak_bytes / 2**30
        console.print(f"memory: at most {peak:.2f} GiB resident, all processes summed")
        console.print(f"report: {self.findings.ended.report}", soft_wrap=True)

    def as_document(self) -> dict[str, Any]:
        """The same figures for programs, with the machine they were measured on."""
        return {
            **self.findings.ended.document,
            "seconds": self.findings.seconds,
            "losses": self.findings.losses,
            **asdict(self.findings.asked),
            "total_seconds": self.seconds,
            "peak_resident_bytes": self.peak_bytes,
            "machine": machine_facts(),
        }

    def save(self, file: Path) -> None:
        """Write the document."""
        file.write_text(json.dumps(self.as_document(), indent=1, ensure_ascii=False))

    def _print_trace(self, console: Console, name: str, title: str) -> None:
        spans = last_trace(self.spans_file, name)
        lost = missing_parents(spans)
        console.print(draw_trace(spans, f"[bold]{title}[/bold] ({len(spans)} spans)"))
        if lost:
            console.print(f"[yellow]{len(lost)} spans have no parent: {', '.join(lost)}[/yellow]")


def _data_table(counts: Mapping[str, Any]) -> Table:
    table = Table(
        "rows in", "kept", "quarantined", "duplicates", "train", "valid", "test", title="dataset"
    )
    names = (
        "rows_in", "rows_kept", "rows_quarantined", "rows_duplicate", "train", "valid", "test"
    )  # fmt: skip
    table.add_row(*(f"{int(counts[name]):,}" for name in names))
    return table


def _score_table(training: Mapping[str, Any], build: Mapping[str, Any]) -> Table:
    table = Table(
        "model",
        "right answers",
        "95 % interval",
        title="score on the test split, by summed log-likelihood",
    )
    rows = (
        ("base", training["accuracy_base"]),
        ("tuned (LoRA)", training["accuracy_tuned"]),
        ("int8 build", _interval(build, "accuracy")),
        ("tuned - base (paired)", training["differences"]["tuned-base"]),
        ("lost by int8, to bf16 in its engine (paired)", _interval(build, "accuracy_loss")),
        ("lost by int8, to tuned in the trainer (paired)", _interval(build, "accuracy_loss_tuned")),
    )
    for name, interval in rows:
        low, high = interval["low"], interval["high"]
        table.add_row(name, f"{interval['mean']:.1%}", f"{low:.1%} .. {high:.1%}")
    table.caption = (
        f"loss {training['first_loss']:.3f} -> {training['last_loss']:.3f} in "
        f"{int(training['steps'])} steps, {int(training['train_tokens']):,} tokens, "
        f"{training['tokens_per_second']:.0f} tokens/s"
    )
    return table


def _interval(figures: Mapping[str, Any], name: str) -> dict[str, float]:
    """An interval that a build's summary spreads over three figures."""
    return {"mean": figures[name], "low": figures[f"{name}_low"], "high": figures[f"{name}_high"]}


def _build_table(build: Mapping[str, Any]) -> Table:
    table = Table("", "bf16", "int8", "ratio", title="the build, same engine, one in flight")
    table.add_row(
        "size",
        data_size(build["bytes_bf16"]),
        data_size(build["bytes"]),
        f"{build['size_ratio']:.3f}",
    )
    table.add_row(
        "tokens/s",
        f"{build['tokens_per_second_bf16']:.1f}",
        f"{build['tokens_per_second']:.1f}",
        f"{build['speedup']:.2f}",
    )
    return table
