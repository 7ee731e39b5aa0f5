"""One real stack that is watched: by a real Prometheus, and by a tap on its spans."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from modelmill_cli.commands.models import bring_in
from modelmill_cli.gateway import DEFAULT_TENANT, connect_locally, local_token
from modelmill_cli.stack import StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.ports import free_port
from openai import APIStatusError, AsyncOpenAI, AsyncStream

from tests.e2e.conftest import HYPER_PARAMETERS, Loop, write_rows
from tests.telemetry.prometheus_server import Prometheus, run_prometheus
from tests.telemetry.span_tap import SpanTap

HERE_CHARS = 12
TAPPED = ("GATEWAY", "MODERATION", "INFERENCE")
"""The services on the way of a chat."""


def traced() -> tuple[str, str, dict[str, str]]:
    """A trace that the test begins: its id, the id of the test's own span, and the header."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, {"traceparent": f"00-{trace_id}-{span_id}-01"}


@dataclass
class Watched:
    """A running stack whose name "kinds" answers, and those who watch it."""

    loop: Loop
    tap: SpanTap
    prometheus: Prometheus | None
    training: dict[str, str] = field(default_factory=dict)
    """The trace of the training job, and in it the span of the test itself."""

    async def chat(self, content: str, *, headers: dict[str, str] | None = None, **more) -> None:
        """One answered prompt, streamed or not."""
        answer = await self.loop.openai.chat.completions.create(
            model="kinds",
            messages=[{"role": "user", "content": content}],
            extra_headers=headers or {},
            **({"max_tokens": 6} | more),
        )
        if isinstance(answer, AsyncStream):
            async for _ in answer:
                pass

    async def refused(self, content: str, **more) -> None:
        """One prompt that is not answered."""
        with pytest.raises(APIStatusError):
            await self.chat(content, **more)

    async def learn(self, rows_file, *, headers: dict[str, str] | None = None) -> str:
        """Rows become a dataset, the dataset a version, the version a build; returns its id."""
        dataset_id = await self.loop.make_dataset(rows_file)
        created = await self.loop.openai.fine_tuning.jobs.create(
            model=self.loop.base_version_id,
            training_file=dataset_id,
            suffix="kinds",
            extra_body={"hyperparameters": HYPER_PARAMETERS | {"epochs": 1}},
            extra_headers=headers or {},
        )
        trained = await self.loop.job_ends(created.id, within=180)
        assert trained["status"] == "succeeded", trained
        source = trained["result"]["version_id"]
        built = await self.loop.build_of(source)
        assert built["status"] == "succeeded", built
        return str(built["result"]["version_id"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory) -> AsyncIterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    state, base = StateFolder(folder / "state"), make_tiny_llama(folder / "base")
    log: list[str] = []
    async with SpanTap.running() as tap:
        overrides = {f"{service}_OTLP_ENDPOINT": tap.url for service in TAPPED}
        # What is longer moderation judges, so that both ways are watched.
        overrides["GATEWAY_RULES_HERE_CHARS"] = str(HERE_CHARS)
        options = StackOptions(http_port=free_port(), overrides=overrides)
        async with running_stack(state, options, lambda name, line: log.append(line)) as up:
            tap.hand_on_to(up.processes["trainer"].environment["TRAINER_OTLP_ENDPOINT"])
            version = await bring_in(state, base, name="tiny", tenant=DEFAULT_TENANT)
            url = up.runtime.http_url
            openai = AsyncOpenAI(base_url=f"{url}/v1", api_key=local_token(state), max_retries=0)
            with connect_locally(state, url) as client:
                async with openai:
                    loop = Loop(state, up, client, openai, version.version_id, log)
                    async with prometheus_of(loop, folder) as prometheus:
                        watched = Watched(loop, tap, prometheus)
                        await serve_a_model(watched, folder)
                        yield watched


def prometheus_of(loop: Loop, folder):
    """Prometheus on the stack's pages, or None where it is not installed."""
    if shutil.which("prometheus") is None:
        return NoPrometheus()
    place = folder / "prometheus"
    place.mkdir()
    runtime = loop.stack.runtime
    return run_prometheus(place, runtime.metrics_ports, runtime.service_secret)


class NoPrometheus:
    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


async def serve_a_model(watched: Watched, folder) -> None:
    trace_id, span_id, headers = traced()
    watched.training[trace_id] = span_id
    rows = write_rows(folder / "kinds.jsonl", 40, bad=2)
    version_id = await watched.learn(rows, headers=headers)
    await asyncio.to_thread(watched.loop.client.aliases.set, "kinds", version_id=version_id)
