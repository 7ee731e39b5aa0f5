"""Prometheus' HTTP API, as far as operators are shown of it: active alerts."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
from modelmill_service_kit.errors import UnavailableError

from modelmill_gateway.ports import ActiveAlert
from modelmill_gateway.settings import Settings

ANSWER_SECONDS = 2.0
MAX_BYTES = 1 << 20
MAX_ALERTS = 500
MAX_CHARS = 1000
"""Of each text of an alert: templates may bring in anything."""
OWN_LABELS = ("alertname", "severity")


class PrometheusAlerts:
    """Asks a Prometheus for its active alerts.

    Args:
        labels: Those of alerts that are told; others are about something else.
    """

    def __init__(self, url: str, labels: Mapping[str, str], client: httpx.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._labels = labels
        self._client = client

    async def __call__(self) -> Sequence[ActiveAlert]:
        """Every alert that is active and has the labels, 500 at most.

        Raises:
            UnavailableError: no answer, or none of a Prometheus.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                said = json.loads(await self._read())
            alerts = said["data"]["alerts"]
            own = [each for each in alerts if self._labels.items() <= each["labels"].items()]
            return [_alert(each) for each in own[:MAX_ALERTS]]
        except (httpx.HTTPError, TimeoutError) as error:
            raise UnavailableError(
                f"Prometheus at {self._url} does not answer. See whether it runs, and whether"
                " GATEWAY_PROMETHEUS_URL is right"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UnavailableError(
                f"what answers at {self._url} is no Prometheus. Set GATEWAY_PROMETHEUS_URL right"
            ) from error

    async def _read(self) -> bytes:
        body = bytearray()
        plainly = {"accept-encoding": "identity"}
        address = f"{self._url}/api/v1/alerts"
        async with self._client.stream("GET", address, headers=plainly) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"status {response.status_code}")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError("too long")
        return bytes(body)


def _alert(said: Mapping[str, Any]) -> ActiveAlert:
    labels, notes = said["labels"], said["annotations"]
    return ActiveAlert(
        name=_text(labels, "alertname"),
        state=_text(said, "state"),
        severity=_text(labels, "severity"),
        summary=_text(notes, "summary"),
        remedy=_text(notes, "action"),
        runbook_url=_text(notes, "runbook_url"),
        since=_seconds(_text(said, "activeAt")),
        labels={name: _text(labels, name) for name in labels if name not in OWN_LABELS},
    )


def _text(of: Mapping[str, Any], name: str) -> str:
    return str(of.get(name, ""))[:MAX_CHARS]


def _seconds(time: str) -> float:
    """Of RFC 3339 with nanoseconds, which are more than every Python takes."""
    whole, _, rest = time.partition(".")
    zone = rest.lstrip("0123456789") if rest else ""
    try:
        return datetime.fromisoformat((whole + zone).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


@asynccontextmanager
async def open_alerts(settings: Settings) -> AsyncIterator[PrometheusAlerts | None]:
    """The alerts of the Prometheus that the settings name; None where they name none."""
    url, labels = settings.prometheus_url, settings.prometheus_labels
    if not url:
        yield None
        return
    # No proxy from the environment: it is asked at the configured address and nowhere else.
    async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_SECONDS) as client:
        yield PrometheusAlerts(url, labels, client)
