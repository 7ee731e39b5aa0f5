"""The all-in-one image: one container with one volume is what `mill up` is on a machine."""

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.waiting import eventually

ROOT = Path(__file__).parents[2]
IMAGE = "modelmill/all-in-one:local"
START_SECONDS = 300.0
pytestmark = [pytest.mark.timeout(1800)]


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    """Built from this tree; Docker is started where none answers."""
    run("deploy/compose/build-images", "all-in-one")
    return IMAGE


@pytest.fixture
def volume() -> Iterator[str]:
    name = f"modelmill-test-{uuid4().hex[:12]}"
    run("docker", "volume", "create", name)
    yield name
    run("docker", "volume", "rm", name)


@dataclass(frozen=True)
class Container:
    """One that is healthy."""

    id: str
    url: str

    def mill(self, *arguments: str) -> str:
        return run("docker", "exec", self.id, "mill", *arguments)

    @property
    def said(self) -> str:
        return run("docker", "logs", self.id)

    def ask(self, model: str, question: str = "a small animal") -> httpx.Response:
        token = self.mill("token").splitlines()[-1]
        return httpx.post(
            f"{self.url}/v1/chat/completions",
            headers={"Authorization": f"Bearer {token}"},
            json={
                **{"model": model, "max_tokens": 8, "temperature": 0},
                "messages": [{"role": "user", "content": question}],
            },
            timeout=120,
        )


def text_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    content: str = answer.json()["choices"][0]["message"]["content"]
    return content


@asynccontextmanager
async def started(image: str, volume: str, base: Path) -> AsyncIterator[Container]:
    """As strictly as Docker can: nothing but the volume and /tmp can be written."""
    container = run(
        *("docker", "run", "--detach", "--publish", "127.0.0.1:0:8080"),
        *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges", "--env", "GATEWAY_MAX_BODY_BYTES=5000"),
        *("--volume", f"{volume}:/var/lib/modelmill/state", "--volume", f"{base}:/base:ro"),
        image,
    )

    def healthy() -> bool:
        state = json.loads(run("docker", "inspect", container))[0]["State"]
        assert state["Running"], run("docker", "logs", container)
        return bool(state["Health"]["Status"] == "healthy")

    try:
        await eventually(healthy, within=START_SECONDS)
        port = run("docker", "port", container, "8080/tcp").rpartition(":")[2]
        yield Container(container, f"http://127.0.0.1:{port}")
        run("docker", "stop", "--time", "60", container)
        state = json.loads(run("docker", "inspect", container))[0]["State"]
        assert state["ExitCode"] == 0
    finally:
        run("docker", "rm", "--force", container)


async def test_a_restart_with_the_same_volume_keeps_a_model_that_answers(
    image: str, volume: str, tmp_path: Path
) -> None:
    base = make_tiny_llama(tmp_path / "base")
    for path in (tmp_path, base, *base.iterdir()):
        path.chmod(0o755)
    async with started(image, volume, base) as first:
        made = first.mill("models", "import", "/base", "--name", "tiny", "--json")
        version = json.loads(made)["id"]
        answer = text_of(first.ask(version))
        # Services read their settings from the container's environment.
        assert first.ask(version, "long " * 1000).status_code == 413
        assert f"docker exec {first.id[:12]} mill token" in first.said
        assert run("docker", "exec", first.id, "id", "-u") == "10001"

    async with started(image, volume, base) as second:
        assert text_of(second.ask(version)) == answer


def test_it_publishes_one_port_and_keeps_everything_in_one_volume(image: str) -> None:
    config = json.loads(run("docker", "image", "inspect", image))[0]["Config"]

    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    assert list(config["Volumes"]) == ["/var/lib/modelmill/state"]
    assert config["User"] == "10001:10001"
