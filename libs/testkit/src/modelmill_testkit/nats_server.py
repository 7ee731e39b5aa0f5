"""A real nats-server on loopback that a test may kill, freeze and start again."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from modelmill_testkit.ports import free_port

START_SECONDS = 20.0
# Streams reserve their limits. A broker offers three quarters of what the disk has free, so that
# without this tests would fail on a disk that nothing of theirs fills.
STORE_BYTES = 1 << 40

CONFIG = """\
listen: "127.0.0.1:{port}"
jetstream {{
  store_dir: "{store}"
  max_file_store: {most}
{sync}}}
"""


class NatsServer:
    """One broker, one store folder, one port: `start` after `kill` finds what was stored."""

    def __init__(
        self,
        store: Path,
        port: int,
        token: str,
        settings: str | None = None,
        max_store_bytes: int = STORE_BYTES,
        *,
        fsync: bool = True,
    ) -> None:
        self.url = f"nats://127.0.0.1:{port}"
        self.token = token
        self._settings = settings or f'authorization {{ token: "{token}" }}\n'
        self._most_bytes = max_store_bytes
        self._sync = "  sync_interval: always\n" if fsync else ""
        self._port = port
        self._store = store
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        return self._running().pid

    async def start(self) -> None:
        """Start on the same port and store, and return once it takes JetStream requests."""
        process = self._spawn()
        async with asyncio.timeout(START_SECONDS):
            while not await self._answers():
                if process.poll() is not None:
                    raise RuntimeError(f"nats-server ended: {self._log_tail()}")
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, as a power cut would: nothing is flushed, nobody is told."""
        self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM and wait; nothing happens when it is not running."""
        if self._process is not None:
            await asyncio.to_thread(self._end, signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: the port stays open and nobody answers, like a half-open link."""
        self._running().send_signal(signal.SIGSTOP)
        # The signal is on its way to each thread; an answer may still slip out until all have it.
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._running().send_signal(signal.SIGCONT)

    def keep_account_folder(self) -> None:
        """Let deletions of streams leave the folder that the account has them in.

        After a deletion the server removes that folder in the background, if it is empty. A stream
        that is made in that moment fails with "error creating store for stream".
        """
        folder = self._store / "jetstream" / "jetstream" / "$G" / "streams"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".kept").touch()

    def stream_folders(self) -> list[str]:
        """Folders of streams on the disk; deleted ones begin with a dot until they are removed."""
        found = self._store.glob("jetstream/jetstream/*/streams/*")
        return sorted(each.name for each in found if each.is_dir())

    def complaints(self) -> list[str]:
        """Warnings and errors in its log."""
        lines = (self._store / "nats.log").read_text().splitlines()
        return [line for line in lines if "[WRN]" in line or "[ERR]" in line]

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._store.mkdir(parents=True, exist_ok=True)
        config = self._store / "nats.conf"
        config.write_text(
            CONFIG.format(
                port=self._port,
                store=self._store / "jetstream",
                sync=self._sync,
                most=self._most_bytes,
            )
            + self._settings
        )
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        with (self._store / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary, "-c", config], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        return self._process

    def _end(self, number: signal.Signals) -> None:
        process = self._running()
        process.send_signal(number)
        # A frozen process takes SIGTERM only once it runs again.
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("nats-server is not running")
        return self._process

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        try:
            line = await reader.readline()
        finally:
            writer.close()
        greeting = line.decode().removeprefix("INFO ").strip()
        return bool(greeting) and bool(json.loads(greeting).get("jetstream"))

    def _log_tail(self) -> str:
        return "\n".join((self._store / "nats.log").read_text().splitlines()[-10:])


@asynccontextmanager
async def run_nats(
    store: Path, settings: str | None = None, *, max_store_bytes: int = STORE_BYTES
) -> AsyncIterator[NatsServer]:
    """A started server with a random token, storing under `store`; stopped when the block ends.

    Args:
        settings: who may connect and how, in the words of its configuration, instead of the token.
        max_store_bytes: what its streams together may reserve.
    """
    server = NatsServer(store, free_port(), secrets.token_hex(16), settings, max_store_bytes)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
