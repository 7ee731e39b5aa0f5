"""Checks of a running instance: its processes, their ports and their metrics pages."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import httpx
import psutil
from modelmill_service_kit.checks import Check, FindingSeverity, Symptom
from modelmill_service_kit.errors import DomainError

from modelmill_cli.doctor.examined import Examined, PageFacts, RunningInstance, ServicePage
from modelmill_cli.state_folder import Runtime

PEER_SECONDS = 3.0
"""How long one that is asked may take."""
MOST_PAGE_BYTES = 16 << 20
LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{.*\})? ([^ ]+)")
BUILD = re.compile(r'^modelmill_build_info\{[^}]*version="([^"]*)"', re.MULTILINE)
DROPPED = (
    *("modelmill_usage_dropped_total", "modelmill_audit_dropped_total"),
    "modelmill_changes_dropped_total",
)
MOST_ENGINE_RESTARTS = 3
MOST_FILES_SHARE = 0.8


async def examine_instance(
    runtime: Runtime, clock: Callable[[], float] = time.time
) -> RunningInstance:
    """Ask everybody at once; takes about as long as the slowest may.

    Args:
        clock: says what time it is here, beside the broker's.
    """
    from modelmill_bus.inspection import inspect_broker

    async def broker() -> object:
        try:
            return await inspect_broker(
                runtime.nats_url, runtime.identity("cli"), name="cli", clock=clock
            )
        except DomainError as error:
            return str(error)

    headers = {"authorization": f"Bearer {runtime.service_secret}"}
    async with httpx.AsyncClient(timeout=PEER_SECONDS, trust_env=False) as http:
        shown, ports = [*runtime.metrics_ports.values()], [*runtime.grpc_ports.items()]
        told, ready, pages, listens = await asyncio.gather(
            broker(),
            status_of(http, f"{runtime.http_url}/readyz"),
            asyncio.gather(*(page_at(http, f"127.0.0.1:{it}", headers) for it in shown)),
            asyncio.gather(*(_listens(port) for _, port in ports)),
        )
    return RunningInstance(
        runtime,
        ended=tuple(name for name, pid in runtime.pids.items() if not _is_there(pid)),
        unreachable=tuple(
            name for (name, _), there in zip(ports, listens, strict=True) if not there
        ),
        pages=dict(zip(runtime.metrics_ports, pages, strict=True)),
        gateway_ready=ready,
        broker=None if isinstance(told, str) else told,  # type: ignore[arg-type]
        broker_problem=told if isinstance(told, str) else "",
    )


def _is_there(pid: int) -> bool:
    with suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def _listens(port: int) -> bool:
    try:
        async with asyncio.timeout(PEER_SECONDS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def status_of(http: httpx.AsyncClient, url: str) -> int | None:
    """HTTP status; None without an answer in time."""
    try:
        return (await http.get(url)).status_code
    except httpx.HTTPError:
        return None


async def page_at(http: httpx.AsyncClient, address: str, headers: Mapping[str, str]) -> ServicePage:
    """The metrics page at host:port."""
    try:
        async with asyncio.timeout(PEER_SECONDS):
            answer = await http.get(f"http://{address}/metrics", headers=headers)
    except (httpx.HTTPError, TimeoutError):
        return ServicePage(None, {}, None)
    return page_of(answer.status_code, answer.text[:MOST_PAGE_BYTES])


def page_of(status: int, text: str) -> ServicePage:
    """What a metrics page says, in Prometheus' text format."""
    totals: dict[str, float] = {}
    for found in filter(None, map(LINE.match, text.splitlines())):
        with suppress(ValueError):
            totals[found[1]] = totals.get(found[1], 0.0) + float(found[2])
    build = BUILD.search(text)
    return ServicePage(status, totals, build[1] if build else None)


def ended(it: Examined) -> Iterator[Symptom]:
    """Processes of the instance that are gone."""
    for name in it.running.ended if it.running is not None else ():
        yield Symptom(
            f"the process of {name} has ended",
            f"Wait until `mill up` starts it again; if it does not, see the lines of {name} in"
            f" {it.state.path / 'up.log'}",
        )


def unreachable(it: Examined) -> Iterator[Symptom]:
    """Services that their callers cannot reach."""
    for name in it.running.unreachable if it.running is not None else ():
        port = it.running.runtime.grpc_ports[name] if it.running is not None else 0
        yield Symptom(
            f"{name} does not listen on port {port}, where its callers look for it",
            f"See the lines of {name} in {it.state.path / 'up.log'}",
        )


def silent(it: Examined) -> Iterator[Symptom]:
    """Services that hang."""
    for name, page in it.pages.items():
        if page.status is None:
            yield Symptom(
                f"{name} does not show its metrics within {PEER_SECONDS:.0f} s",
                f"It is starting, or hangs: see its lines in {it.state.path / 'up.log'}",
            )


def refusing(it: Examined) -> Iterator[Symptom]:
    """Services with another secret than the instance's."""
    for name, page in it.pages.items():
        if page.status == httpx.codes.UNAUTHORIZED:
            yield Symptom(
                f"{name} does not take the service secret of {it.state.path}",
                "Stop all that runs on this folder and start `mill up` anew",
            )


def other_version(it: Examined) -> Iterator[Symptom]:
    """Services of another release than this command."""
    for name, page in it.pages.items():
        own = it.installed.packages.get(f"modelmill-{name.replace('_', '-')}")
        if page.version is not None and own is not None and page.version != own:
            yield Symptom(
                f"{name} runs {page.version}, and {own} is installed",
                "Start `mill up` anew, so that all run what is installed",
            )


def gateway_not_ready(it: Examined) -> Iterator[Symptom]:
    """A gateway that does not take requests."""
    if it.running is not None and it.running.gateway_ready != httpx.codes.OK:
        said = it.running.gateway_ready or "no answer"
        yield Symptom(
            f"the gateway is not ready: {it.running.runtime.http_url}/readyz gives {said}",
            "It waits for the broker or for a service behind it; `mill status` names them",
        )


def records_dropped(it: PageFacts) -> Iterator[Symptom]:
    """Records of usage, verdicts and changes that are lost."""
    for name, page in it.pages.items():
        if lost := sum(page.totals.get(each, 0.0) for each in DROPPED):
            yield Symptom(
                f"{name} has dropped {lost:,.0f} records of usage, verdicts or changes",
                "Give the streams USAGE, AUDIT and CHANGES more room, and see whether the broker"
                " was away",
            )


def engines_restarted(it: PageFacts) -> Iterator[Symptom]:
    """Engines that die again and again."""
    for name, page in it.pages.items():
        restarts = page.totals.get("modelmill_engine_restarts_total", 0.0)
        if restarts > MOST_ENGINE_RESTARTS:
            yield Symptom(
                f"engines of {name} were started again {restarts:.0f} times",
                "Usually memory: load fewer versions, or a smaller form (`mill optimize`)",
            )


def files_used_up(it: PageFacts) -> Iterator[Symptom]:
    """Processes near their limit of open files."""
    for name, page in it.pages.items():
        used, most = (page.totals.get(f"process_{each}_fds", 0.0) for each in ("open", "max"))
        if most and used > MOST_FILES_SHARE * most:
            yield Symptom(
                f"{name} has {used:.0f} open files of {most:.0f}",
                f"Raise the limit (`ulimit -n {most * 4:.0f}`) and start `mill up` anew",
            )


PAGE_CHECKS = (
    Check("records-dropped", FindingSeverity.WARNING, "no record was dropped", records_dropped),
    Check("engine-restarts", FindingSeverity.WARNING, "engines stay", engines_restarted),
    Check("files-used-up", FindingSeverity.WARNING, "open files are below 80 %", files_used_up),
)
"""Which read metrics pages alone, wherever these are."""

CHECKS: Sequence[Check[Examined]] = (
    Check("process-ended", FindingSeverity.ERROR, "each process runs", ended),
    Check("service-unreachable", FindingSeverity.ERROR, "each service listens", unreachable),
    Check("metrics-silent", FindingSeverity.ERROR, "each shows its metrics in 3 s", silent),
    Check("metrics-refused", FindingSeverity.ERROR, "each takes the service secret", refusing),
    Check("service-version", FindingSeverity.WARNING, "each runs what is installed", other_version),
    Check(
        "gateway-not-ready", FindingSeverity.ERROR, "the gateway takes requests", gateway_not_ready
    ),
    *PAGE_CHECKS,
)
