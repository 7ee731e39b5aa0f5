"""One compose project of our own: start, look at, crash, scale and remove its containers."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.25
COMMAND_SECONDS = 300.0
DONE = "done"
"""Of a container that had one thing to do, and did it."""
BUILD_SECONDS = 1800.0


class ComposeError(Exception):
    """A command failed, or something did not come true in time; the message says which."""


@dataclass(frozen=True)
class Container:
    """What Docker says of one container."""

    id: str
    service: str
    health: str
    """starting, healthy or unhealthy; DONE or its state when it is not running."""
    started_at: str
    restarts: int

    @property
    def is_well(self) -> bool:
        return self.health in ("healthy", DONE)


class ComposeProject:
    """A project that shares nothing with another one on the same machine.

    Args:
        root: the folder of docker-compose.yml.
        name: the project's; its containers, networks and volumes carry it.
        environment: what the file interpolates, beyond the process's own environment.
    """

    def __init__(self, root: Path, name: str, environment: Mapping[str, str]) -> None:
        self.root = root
        self.environment = dict(os.environ) | dict(environment) | {"COMPOSE_PROJECT_NAME": name}

    def run(self, *command: str, timeout: float = COMMAND_SECONDS) -> str:
        """Run a command in the project's environment; its standard output.

        Raises:
            ComposeError: it failed or took too long; the message has the end of what it said.
        """
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise ComposeError(f"{' '.join(command)}: not done in {timeout:g} s") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-2000:]
            raise ComposeError(f"{' '.join(command)}: status {done.returncode}\n{said}")
        return done.stdout.strip()

    def compose(self, *arguments: str, timeout: float = COMMAND_SECONDS) -> str:
        return self.run("docker", "compose", *arguments, timeout=timeout)

    def containers(self, service: str = "") -> list[Container]:
        """All containers of the project, or of one service, stopped ones included."""
        found = self.compose("ps", "--all", "--quiet", *([service] if service else []))
        if not found:
            return []
        described: list[dict[str, Any]] = json.loads(self.run("docker", "inspect", *found.split()))
        return [_container(one) for one in described]

    def start(self, *options: str, within: float) -> dict[str, float]:
        """`docker compose up`, and wait until every container is healthy.

        Returns:
            Seconds from the command until each service was healthy.

        Raises:
            ComposeError: one was not; the message has its last lines.
        """
        began = time.monotonic()
        self.compose("up", "--detach", "--no-build", *options)
        return self.wait_healthy(within=within, since=began)

    def wait_healthy(self, *, within: float, since: float | None = None) -> dict[str, float]:
        """Wait until every container is healthy; seconds until each service was.

        Raises:
            ComposeError: one was not; the message has its last lines.
        """
        began = time.monotonic() if since is None else since
        seconds: dict[str, float] = {}

        def all_well() -> bool:
            containers = self.containers()
            sick = {one.service for one in containers if not one.is_well}
            for one in containers:
                if one.service not in sick:
                    seconds.setdefault(one.service, round(time.monotonic() - began, 1))
            return bool(containers) and not sick

        try:
            until(all_well, within=within, what="every container is healthy")
        except ComposeError as error:
            sick = sorted({one.service for one in self.containers() if not one.is_well})
            logs = self.compose("logs", "--no-color", "--tail", "15", *sick)
            raise ComposeError(f"{error}: {', '.join(sick)}\n{logs}") from error
        return seconds

    def crash(self, victim: Container) -> None:
        """SIGKILL every process of a container at once, as a power cut would.

        Not `docker kill`: Docker takes that for a person's request and does not restart what
        it ended. PID 1 is the init of `init: true`, out of reach from inside; it ends with its
        child.
        """
        subprocess.run(
            ("docker", "exec", victim.id, "sh", "-c", "kill -9 -1"),
            capture_output=True,
            timeout=COMMAND_SECONDS,
        )

    def crash_and_heal(self, victim: Container, *, within: float) -> float:
        """Crash a container and wait until Docker has brought it back; seconds that took.

        Raises:
            ComposeError: it did not come back.
        """
        began = time.monotonic()
        self.crash(victim)

        def healed() -> bool:
            (now,) = (one for one in self.containers(victim.service) if one.id == victim.id)
            return now.started_at != victim.started_at and now.is_well

        until(healed, within=within, what=f"{victim.service} is healthy again")
        return round(time.monotonic() - began, 1)

    def remove(self) -> None:
        """Containers, networks and volumes of this project; images stay."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")


def until(condition: Callable[[], bool], *, within: float, what: str) -> None:
    """Ask until it is true.

    Raises:
        ComposeError: it was not within `within` seconds.
    """
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise ComposeError(f"not within {within:g} s: {what}")
        time.sleep(POLL_SECONDS)


def _container(described: dict[str, Any]) -> Container:
    state = described["State"]
    health = state["Health"]["Status"] if "Health" in state else state["Status"]
    if not state["Running"]:
        once = described["HostConfig"]["RestartPolicy"]["Name"] == "no"
        health = DONE if once and state["ExitCode"] == 0 else state["Status"]
    return Container(
        id=described["Id"],
        service=described["Config"]["Labels"]["com.docker.compose.service"],
        health=health,
        started_at=state["StartedAt"],
        restarts=described["RestartCount"],
    )
