"""What is wrong with an installation, as far as its gateway sees it, and what to do about it."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Protocol

from modelmill_bus import stream_checks
from modelmill_bus.inspection import BrokerState
from modelmill_service_kit.checks import Check, Finding, FindingSeverity, Symptom, found_by
from modelmill_service_kit.errors import DomainError

from modelmill_gateway.ports import ServiceStatus
from modelmill_gateway.tenants.show_status import PACKAGE, Probe

SEE_LOG = "See its log; `mill doctor`, or `kubectl describe` of its pods, says more"
REMEDIES = {
    "broker-unreachable": "See the broker's log, and whether GATEWAY_NATS_URL is right",
    "stream-missing": (
        "Restore them with `mill state import` or `mill restore`; `python -m modelmill_bus.deploy`"
        " makes them empty"
    ),
    "stream-subjects": "Run `python -m modelmill_bus.deploy`, which adds them",
}
"""Of checks whose own remedy is for the machine of `mill up`, which a gateway may not be on."""


@dataclass(frozen=True)
class SeenByGateway:
    """What the checks read."""

    release: str
    services: Sequence[ServiceStatus]
    broker: BrokerState | None
    broker_problem: str
    """Why it could not be asked; else empty."""


def service_unreachable(it: SeenByGateway) -> Iterator[Symptom]:
    """Services that the gateway cannot call."""
    for each in it.services:
        if each.status != "serving":
            said = (
                "does not answer" if each.status == "unreachable" else "says that it is not ready"
            )
            yield Symptom(f"{each.service} at {each.address} {said}", SEE_LOG)


def other_version(it: SeenByGateway) -> Iterator[Symptom]:
    """Services of another release than the gateway."""
    for each in it.services:
        if each.version not in ("", it.release):
            yield Symptom(
                f"{each.service} at {each.address} runs {each.version}, and the gateway"
                f" {it.release}",
                "Replace it by the same release, or wait until a rollout has ended",
            )


CHECKS: Sequence[Check[SeenByGateway]] = (
    Check(
        "service-unreachable",
        FindingSeverity.ERROR,
        "each service takes calls of the gateway",
        service_unreachable,
    ),
    Check("service-version", FindingSeverity.WARNING, "all are of one release", other_version),
    *stream_checks.CHECKS,
)


class InspectsBroker(Protocol):
    """See `modelmill_bus.bus.Bus`."""

    async def inspect(self) -> BrokerState: ...


class FindProblems:
    """Looks at services, broker and streams from here; changes nothing."""

    def __init__(self, bus: InspectsBroker, probes: Sequence[Probe]) -> None:
        self._bus = bus
        self._probes = probes

    async def __call__(self) -> Sequence[Finding]:
        """What all checks find, errors first."""
        services, told = await asyncio.gather(
            asyncio.gather(*(probe() for probe in self._probes)), self._broker()
        )
        seen = SeenByGateway(
            release=version(PACKAGE),
            services=services,
            broker=None if isinstance(told, str) else told,
            broker_problem=told if isinstance(told, str) else "",
        )
        found = [
            replace(each, remedy=REMEDIES.get(each.check, each.remedy))
            for each in found_by(CHECKS, seen)
        ]
        return sorted(found, key=lambda each: each.severity is not FindingSeverity.ERROR)

    async def _broker(self) -> BrokerState | str:
        try:
            return await self._bus.inspect()
        except DomainError as error:
            return str(error)
