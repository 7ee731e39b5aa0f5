"""The vLLM server of one base model: an external one, or a supervised child process.

Engines of the base and its adapters share it, so that their requests form one batch.
"""

import asyncio
import hashlib
import logging
import secrets
import shlex
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from modelmill_registry.materialised import in_use
from modelmill_service_kit.child_process import GRACE_SECONDS, ChildProcess
from modelmill_service_kit.errors import DomainError, PreconditionError, UnavailableError
from modelmill_service_kit.machine_size import resident_memory
from modelmill_service_kit.ports import held_port

from modelmill_inference.adapters.restart_backoff import MAX_FAILURES, RestartBackoff
from modelmill_inference.adapters.vllm_api import VllmApi
from modelmill_inference.engine import EngineRestartingError
from modelmill_inference.metrics import ENGINE_RESTARTS

log = logging.getLogger(__name__)

STOPPED = "the engine was stopped. Retry"
GUARD = "modelmill_inference.children.command"
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """Address or start command of vLLM; exactly one of `url` and `command` is set."""

    url: str = ""
    """URL of a running server, which serves the model under the name of its artifact folder."""
    key: str = ""
    """API key of that server."""
    command: str = ""
    """Command that starts a server per base; arguments are appended."""
    cache_gigabytes: int = 1
    """Key-value cache of a server on a CPU."""
    adapters: int = 4
    """Maximum adapters in one batch; 0 disables them, which is slightly faster."""
    adapter_rank: int = 64
    """Maximum adapter rank: 1, 8, 16, 32, 64, 128, 256, 320 or 512."""
    load_seconds: float = 300.0
    hang_seconds: float = 60.0
    max_failures: int = MAX_FAILURES
    """Consecutive failures without an answer, after which a server is given up."""


class VllmServer:
    """A reference-counted server: the first user starts it, the last one stops it.

    Args:
        folder: folder of the base model; its name is the model name.
    """

    def __init__(self, options: VllmOptions, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._salt = secrets.token_bytes(32)
        self._users = 0
        self._turn = asyncio.Lock()
        self._held = ExitStack()
        self._port = 0
        self._api: VllmApi | None = None
        self._guard: ChildProcess | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._last_activity = 0.0
        self._answered = False
        self._broken: asyncio.Future[str] | None = None

    @property
    def model(self) -> str:
        """Model name of the base in the API."""
        return self._folder.name

    @property
    def api(self) -> VllmApi:
        """Client of the running server. Raises UnavailableError if there is none."""
        if self._api is not None:
            return self._api
        if self._users == 0 or self._broken is None or self._broken.done():
            raise UnavailableError(STOPPED)
        raise EngineRestartingError

    @property
    def pid(self) -> int | None:
        """Process id of the server's guard process; None while there is none."""
        return None if self._guard is None else self._guard.pid

    def salt_of(self, tenant: str) -> str:
        """Cache salt that separates the tenant's prompts in the prefix cache.

        Otherwise prefill times would reveal other tenants' prompts. A salt cannot be guessed, and
        replicas need not share one.
        """
        return hashlib.sha256(self._salt + tenant.encode()).hexdigest()

    def resident_bytes(self) -> int:
        """Memory of the started server, divided among its users; blocks for milliseconds."""
        return resident_memory(self._guard.pid) // max(self._users, 1) if self._guard else 0

    async def acquire(self) -> None:
        """Add a user; the first one starts the server. Raises as `Engine.load`."""
        async with self._turn:
            if self._users == 0:
                await self._open()
            self._users += 1

    async def release(self) -> None:
        """Remove a user; the last one stops the server."""
        async with self._turn:
            self._users -= 1
            if self._users == 0:
                await self._close()

    async def until_broken(self) -> str:
        """Wait until the server has failed permanently; returns the reason."""
        assert self._broken is not None
        return await asyncio.shield(self._broken)

    def record_activity(self, *, answer: bool) -> None:
        """Record a sign of life; tokens also reset the failure count."""
        self._last_activity = time.monotonic()
        self._answered = self._answered or answer

    async def suspect(self) -> None:
        """Handle a silent request; the server is restarted if it was silent for all requests."""
        silent = time.monotonic() - self._last_activity
        if self._guard is not None and silent >= self._options.hang_seconds:
            log.error("the vLLM server said nothing for %.0f s", silent)
            # Not killed, because the guard process must stop the server.
            await self._guard.close(GRACE_SECONDS)

    async def _open(self) -> None:
        self._broken = asyncio.get_running_loop().create_future()
        if self._options.url:
            self._api = await self._find()
            return
        # A server that restarts days later must still find its files.
        self._held.enter_context(in_use(self._folder))
        self._port = self._held.enter_context(held_port())
        try:
            await self._start()
        except BaseException:
            self._held.close()
            raise
        self._supervisor = asyncio.create_task(self._supervise())

    async def _close(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        api, self._api = self._api, None
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.close(GRACE_SECONDS)
        if api is not None:
            await api.close()
        self._held.close()

    async def _find(self) -> VllmApi:
        options = self._options
        api = VllmApi(options.url, options.key, silence_seconds=options.hang_seconds)
        try:
            served = await api.models()
            if self.model not in served:
                log.error("the server of INFERENCE_VLLM_URL serves %s", ", ".join(served))
                raise PreconditionError(
                    "the vLLM server serves another model. Start it with "
                    f"--served-model-name {self.model}"
                )
        except BaseException:
            await api.close()
            raise
        return api

    async def _start(self) -> None:
        """Start a server; on failure nothing is left running."""
        options, key, port = self._options, secrets.token_urlsafe(32), self._port
        url = f"http://127.0.0.1:{port}"
        guard = await ChildProcess.start(GUARD)
        api = VllmApi(url, key, silence_seconds=options.hang_seconds)
        try:
            run = {"command": self._command(port), "environment": _environment(options, key)}
            guard.send({"run": run})
            async with asyncio.timeout(options.load_seconds):
                await self._until_ready(guard, api)
        except TimeoutError:
            await _end(guard, api)
            raise UnavailableError(
                f"the engine did not load within {options.load_seconds:g} s"
            ) from None
        except BaseException:
            await _end(guard, api)
            raise
        self._guard, self._api = guard, api

    def _command(self, port: int) -> list[str]:
        options = self._options
        given = {
            "--host": "127.0.0.1",
            "--port": port,
            "--model": self._folder,
            "--served-model-name": self.model,
            "--generation-config": "vllm",
        }
        if options.adapters:
            given |= {"--max-loras": options.adapters, "--max-lora-rank": options.adapter_rank}
        flags = [str(word) for pair in given.items() for word in pair]
        flags += ["--enable-prefix-caching", *(["--enable-lora"] if options.adapters else [])]
        return [*shlex.split(options.command), *flags]

    async def _until_ready(self, guard: ChildProcess, api: VllmApi) -> None:
        ended = asyncio.create_task(_ended(guard))
        try:
            while not ended.done():
                if await api.is_ready():
                    return
                await asyncio.wait([ended], timeout=POLL_SECONDS)
        finally:
            # Awaited, because only one task may read from the guard at a time.
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
        log.error("the vLLM server of %s ended while it was loading", self.model)
        raise PreconditionError("the engine refused the model; inference's log says why")

    async def _supervise(self) -> None:
        """Restart the server until it fails too often."""
        backoff = RestartBackoff(self._options.max_failures)
        while True:
            answered = False
            if self._guard is not None:
                await _ended(self._guard)
                guard, api = self._guard, self._api
                self._guard = self._api = None
                log.error("the vLLM server of %s ended", self.model)
                await _end(guard, api)
                answered, self._answered = self._answered, False
            delay = backoff.add(answered=answered)
            if delay is None:
                assert self._broken is not None
                self._broken.set_result(f"the vLLM server {backoff}")
                return
            await asyncio.sleep(delay)
            ENGINE_RESTARTS.inc()
            try:
                await self._start()
            except (DomainError, OSError) as error:
                log.error("the vLLM server did not restart: %s", error)


async def _ended(guard: ChildProcess) -> None:
    """Return when the server or the guard has ended."""
    try:
        await guard.receive()
    except UnavailableError:
        return


async def _end(guard: ChildProcess, api: VllmApi | None) -> None:
    await guard.close(GRACE_SECONDS)
    if api is not None:
        await api.close()


def _environment(options: VllmOptions, key: str) -> dict[str, str]:
    return {
        # Not an argument, because any local user can read those.
        "VLLM_API_KEY": key,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_CPU_KVCACHE_SPACE": str(options.cache_gigabytes),
        # No connections to external hosts.
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
