"""`mill doctor`: what is wrong with this installation, and what to do about it."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from modelmill_service_kit.errors import PreconditionError
from rich.console import Console

from modelmill_cli.errors import say_system_error
from modelmill_cli.gateway import connect_as_operator
from modelmill_cli.output import AsJson, print_json
from modelmill_cli.tables import escaped

if TYPE_CHECKING:
    from modelmill_service_kit.checks import Finding

    from modelmill_cli.state_folder import StateFolder


def doctor(
    context: typer.Context,
    http_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port that `mill up` would use; 0 looks at none.")
    ] = 8080,
    broker_config: Annotated[
        Path | None,
        typer.Option(help="Configuration of a nats-server that `mill up` did not start."),
    ] = None,
    pod: Annotated[
        bool, typer.Option("--pod", help="Look at a Helm release from a pod of it (`helm test`).")
    ] = False,
    gateway: Annotated[
        bool,
        typer.Option(
            "--gateway", help="Ask the gateway what it sees, also that of another machine."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what is wrong with this installation and how to mend it; exit status 1 if anything is.

    Nothing is changed. The state folder, this machine and, where `mill up` runs, its broker and
    services are looked at. With --pod: services, broker, mounted secrets and volume of a release,
    a line for each finding, and none where all is well. With --gateway: services, broker and
    streams, as the gateway sees them; it takes the scope `operator`.
    """
    if gateway:
        _ask_gateway(context.obj, broker_config, pod=pod, as_json=as_json)
    elif pod:
        _look_at_release(broker_config, as_json=as_json)
    else:
        _look_at_machine(context.obj, http_port, broker_config, as_json=as_json)


def _look_at_machine(
    state: "StateFolder", http_port: int, broker_config: Path | None, *, as_json: bool
) -> None:
    # Checks need what few commands do: certificates, the broker's client.
    from modelmill_cli.doctor.diagnose import CHECKS, diagnose, examine

    ports = {"--http-port": http_port}
    try:
        examined = asyncio.run(examine(state, ports=ports, broker_config=broker_config))
    except (OSError, UnicodeDecodeError) as error:
        said = say_system_error(error) if isinstance(error, OSError) else "no text in UTF-8"
        raise PreconditionError(f"{broker_config} cannot be read: {said}") from error
    findings = [*diagnose(examined)]
    if as_json:
        for finding in findings:
            print_json(asdict(finding), indent=None)
    else:
        runs = "a running instance" if examined.running else "no running instance"
        _print(findings, f"{len(CHECKS)} checks, {runs} on {examined.state.path}")
    if findings:
        raise typer.Exit(1)


def _ask_gateway(
    state: "StateFolder", broker_config: Path | None, *, pod: bool, as_json: bool
) -> None:
    if broker_config is not None or pod:
        raise PreconditionError("give --gateway alone: it looks at nothing else")
    with connect_as_operator(state) as client:
        found = client.findings.list()
        url = client.url
    if as_json:
        for each in found:
            print_json(each, indent=None)
    else:
        said = [
            (each["severity"], each["check"], each["problem"], each["remedy"]) for each in found
        ]
        _print_lines(said, f"services, broker and streams as {url} sees them")
    if found:
        raise typer.Exit(1)


def _look_at_release(broker_config: Path | None, *, as_json: bool) -> None:
    from modelmill_cli.doctor.pod_checks import diagnose_pod
    from modelmill_cli.doctor.pod_facts import examine_pod
    from modelmill_cli.doctor.pod_settings import pod_settings

    if broker_config is not None:
        raise PreconditionError("give --broker-config or --pod, which knows its own")
    # asyncio warns of what the broker's client does over TLS, which nobody can mend.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    findings = [*diagnose_pod(asyncio.run(examine_pod(pod_settings())))]
    for each in findings:
        if as_json:
            print_json(asdict(each), indent=None)
        else:
            said = f"{each.severity} {each.check}: {each.problem}. {each.remedy}"
            Console(highlight=False, soft_wrap=True).print(escaped(said), markup=False)
    if findings:
        raise typer.Exit(1)


def _print(findings: "Sequence[Finding]", looked_at: str) -> None:
    said = [(each.severity.value, each.check, each.problem, each.remedy) for each in findings]
    _print_lines(said, looked_at)


def _print_lines(findings: "Sequence[tuple[str, str, str, str]]", looked_at: str) -> None:
    """Two lines for each finding, and one for all of them."""
    console = Console(highlight=False, soft_wrap=True)
    for severity, check, problem, remedy in findings:
        said = escaped(f"{severity} {check}: {problem}")
        console.print(f"{said}\n  {escaped(remedy)}", markup=False)
    many = f"{len(findings)} problems" if len(findings) != 1 else "1 problem"
    console.print(escaped(f"{many}; {looked_at}"), markup=False)
