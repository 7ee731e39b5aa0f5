"""Alerts that fire or are about to, for operators."""

from collections.abc import Sequence

from modelmill_service_kit.errors import PreconditionError

from modelmill_gateway.ports import ActiveAlert, AlertSource

STATES, SEVERITIES = ("firing", "pending"), ("page", "ticket")
"""In the order in which a person should look at them; others come last."""


class ShowAlerts:
    """Alerts of the installation's Prometheus.

    Args:
        source: None where the gateway is told of none.
    """

    def __init__(self, source: AlertSource | None) -> None:
        self._source = source

    async def __call__(self) -> Sequence[ActiveAlert]:
        """What fires first, then what is about to.

        Raises:
            PreconditionError: the gateway is told of no Prometheus.
            UnavailableError: it does not answer.
        """
        if self._source is None:
            raise PreconditionError(
                "the gateway is told of no Prometheus. Set GATEWAY_PROMETHEUS_URL to the address of"
                " the one that evaluates deploy/prometheus/alerts.yml"
            )
        return sorted(await self._source(), key=_urgency)


def _urgency(alert: ActiveAlert) -> tuple[int, int, str, float]:
    return (
        _place(STATES, alert.state),
        _place(SEVERITIES, alert.severity),
        alert.name,
        alert.since,
    )


def _place(order: Sequence[str], word: str) -> int:
    return order.index(word) if word in order else len(order)
