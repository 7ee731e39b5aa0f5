"""A real Prometheus with the committed configuration, pointed at a stack on this machine."""

import asyncio
import math
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

DEPLOYED = Path(__file__).parents[2] / "deploy" / "prometheus"


class Prometheus:
    """Asks a running server."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)

    async def is_ready(self) -> bool:
        try:
            return (await self._http.get("/-/ready")).is_success
        except httpx.TransportError:
            return False

    async def values(self, expression: str) -> list[float]:
        """What the expression gives now, without those that are no number."""
        response = await self._http.get("/api/v1/query", params={"query": expression})
        answer = response.json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        numbers = [float(series["value"][1]) for series in answer["data"]["result"]]
        return [number for number in numbers if not math.isnan(number)]

    async def label_values(self, query: str) -> list[str]:
        """The values of a dashboard variable, written as Grafana does: label_values(m, label)."""
        metric, label = query.removeprefix("label_values(").removesuffix(")").split(", ")
        response = await self._http.get(f"/api/v1/label/{label}/values", params={"match[]": metric})
        values: list[str] = response.json()["data"]
        return values

    async def traces_of(self, metric: str) -> set[str]:
        """Traces that stand beside the newest measurements."""
        span = {"query": metric, "start": time.time() - 3600, "end": time.time() + 60}
        response = await self._http.get("/api/v1/query_exemplars", params=span)
        found = [each for series in response.json()["data"] for each in series["exemplars"]]
        return {each["labels"]["trace_id"] for each in found}

    async def rules(self) -> list[dict[str, Any]]:
        """The alerting rules that it has loaded, with their health."""
        groups = (await self._http.get("/api/v1/rules")).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def close(self) -> None:
        await self._http.aclose()


def configuration(ports: Mapping[str, int], secret_file: Path, own_port: int) -> dict[str, Any]:
    """The committed configuration but for addresses, the secret's place, and its pace."""
    config: dict[str, Any] = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOYED / name) for name in config["rule_files"]]
    services, itself = config["scrape_configs"]
    services["authorization"]["credentials_file"] = str(secret_file)
    (discovery,) = services.pop("dns_sd_configs")
    services["static_configs"] = [
        {
            "targets": [f"127.0.0.1:{ports[name.replace('-', '_')]}"],
            "labels": {"__meta_dns_name": name},
        }
        for name in discovery["names"]
        if name.replace("-", "_") in ports
    ]
    itself["static_configs"] = [{"targets": [f"127.0.0.1:{own_port}"]}]
    return config


@asynccontextmanager
async def run_prometheus(
    folder: Path, ports: Mapping[str, int], secret: str
) -> AsyncIterator[Prometheus]:
    """Scrape the metrics ports of these services until the block ends."""
    port = free_port()
    (folder / "secret").write_text(secret)
    config = configuration(ports, folder / "secret", port)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    async with configured_prometheus(folder / "prometheus.yml", folder / "data", port) as server:
        yield server


@asynccontextmanager
async def configured_prometheus(config: Path, data: Path, port: int) -> AsyncIterator[Prometheus]:
    """One of a configuration, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        await eventually(server.is_ready)
        yield server
    finally:
        await server.close()
        process.terminate()
        await process.wait()
