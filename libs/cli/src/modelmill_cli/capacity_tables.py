"""Capacity of an installation in a terminal: queues, workers, inference, streams, and room."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich.table import Table

from modelmill_cli.output import Record
from modelmill_cli.tables import data_size, escaped, plain, print_table

NOT_KNOWN = "?"
PROCESS_COLUMNS = (
    *("service", "address", "worker", "slots free", "short free", "cores free"),
    *("memory free", "GPUs free", "artifact disk free"),
)


def print_capacity(found: Record) -> None:
    """Print a table for each part, and last what cannot be known."""
    _print(
        ("queue", "waiting", "running", "free slots", "expected wait"),
        (
            (it["kind"], it["waiting"], it["running"], _known(it["free_slots"]), _wait(it))
            for it in found["queues"]
        ),
    )
    _print(
        PROCESS_COLUMNS,
        map(_process, found["processes"]),
    )
    _print(
        ("inference", "memory reserved", "of at most", "room", "versions", "unknown"),
        map(_replica, found["replicas"]),
    )
    _print(
        ("version", "engine", "requests", "batch", "waiting", "tokens", "memory"),
        (_model(each) for replica in found["replicas"] for each in replica["models"]),
    )
    _print(
        ("stream", "used", "free"),
        (
            (it["name"], data_size(it["used_bytes"]), _bytes(it["free_bytes"], "no limit"))
            for it in found["streams"]
        ),
    )
    limit = found["tokens_limit"]
    most = "no limit" if limit is None else f"{limit:,}"
    tokens = f"{found['tokens_in_hand']:,}"
    _print(
        ("requests that wait", "tokens in hand", "of at most"),
        [(f"{found['waiting_requests']:,}", tokens, most)],
    )
    for each in found["unknown"]:
        typer.echo(escaped(f"not known: {each}"))


def _print(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    table = Table(*head)
    for row in rows:
        table.add_row(*(plain(str(cell)) for cell in row))
    if table.rows:
        print_table(table)


def _known(value: float | None) -> str:
    return NOT_KNOWN if value is None else f"{value:,g}"


def _bytes(count: int | None, without: str = NOT_KNOWN) -> str:
    return without if count is None else data_size(count)


def _of(part: Any, whole: Any) -> str:
    return f"{part:,g} of {whole:,g}"


def _wait(queue: Mapping[str, Any]) -> str:
    seconds = queue["expected_wait_seconds"]
    return f"{NOT_KNOWN} ({queue['unknown']})" if seconds is None else f"{seconds:,.0f} s"


def _process(process: Mapping[str, Any]) -> list[str]:
    worker, disk = process["worker"], process["artifact_disk_free_bytes"]
    names = [process["service"], process["address"]]
    if worker is None:
        return [*names, process["unknown"] or "", *[""] * 5, _bytes(disk)]
    short = worker["short_slots"] - worker["busy_short_slots"]
    sized = ["no limit"] * 3
    if worker["cpus"] is not None:
        memory = f"{data_size(worker['free_memory_bytes'])} of {data_size(worker['memory_bytes'])}"
        cores = _of(worker["free_cpus"], worker["cpus"])
        sized = [cores, memory, _of(worker["free_gpus"], worker["gpus"])]
    slots = [_of(worker["free_slots"], worker["slots"]), _of(short, worker["short_slots"])]
    return [*names, worker["worker"], *slots, *sized, _bytes(disk)]


def _replica(replica: Mapping[str, Any]) -> list[str]:
    memory = ("memory_reserved_bytes", "memory_limit_bytes", "memory_room_bytes")
    most = replica["max_versions"]
    versions = len(replica["models"])
    loaded = str(versions) if most is None else _of(versions, most)
    unknown = replica["unknown"] or ""
    cells = [_bytes(replica[name]) for name in memory]
    return [replica["address"], *cells, NOT_KNOWN if unknown else loaded, unknown]


def _model(model: Mapping[str, Any]) -> list[str]:
    pairs = ("in_flight", "sequences", "waiting", "tokens")
    used = [_of(model[name], model[f"max_{name}"]) for name in pairs]
    return [model["version_id"], model["engine"], *used, data_size(model["memory_bytes"])]
