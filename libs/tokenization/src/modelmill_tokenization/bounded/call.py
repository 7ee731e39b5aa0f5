"""One call of a library that loads a model's tokenizer in its own way, in a bounded process.

For what is not ours to bound from within: transformers, and the tokenizers of engines.
"""

import json
import signal
import socket
import subprocess
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_tokenization.bounded.frames import HEAD, frame
from modelmill_tokenization.bounded.limits import MEGABYTE, LimitError, limit_error
from modelmill_tokenization.bounded.process import Reply
from modelmill_tokenization.bounded.spawn import CHILD, limit_of_death, spawn

START_SECONDS = 60.0


class AskedProcess:
    """One that runs `module`; it is ended when nobody uses it any more."""

    def __init__(self, module: str = CHILD) -> None:
        self._link, theirs = socket.socketpair()
        try:
            self.process = spawn(theirs, module)
        finally:
            theirs.close()
        self._end = weakref.finalize(self, _end, self._link, self.process)
        self._receive(START_SECONDS)

    def ask(self, head: Mapping[str, Any], seconds: float) -> Reply:
        """Its answer; TimeoutError, ConnectionError."""
        self._link.settimeout(seconds)
        self._link.sendall(frame(head))
        return self._receive(seconds)

    def kill(self) -> int:
        """End it; its exit status."""
        self._end()
        return self.process.wait()

    def _receive(self, seconds: float) -> Reply:
        self._link.settimeout(seconds)
        length, body = HEAD.unpack(self._read(HEAD.size))
        return Reply(json.loads(self._read(length)), self._read(body))

    def _read(self, length: int) -> bytes:
        got = bytearray(length)
        view = memoryview(got)
        while view:
            count = self._link.recv_into(view)
            if not count:
                raise ConnectionError("the process ended")
            view = view[count:]
        return bytes(got)


def _end(link: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    link.close()
    try:
        # One that passed a limit ends by itself; what it says of that is asked for.
        process.wait(0.2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


CALLED = "modelmill_tokenization.bounded.called"


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What a call may take, imports of the library included."""

    cpu_seconds: float = 30.0
    """The largest tokenizers in use (vocabularies of 300,000 tokens) take a sixth."""
    seconds: float = 200.0
    """The same by the clock, on machines that are busy."""
    memory_bytes: int = 6144 * MEGABYTE
    """Address space in all."""
    file_bytes: int = 512 * MEGABYTE
    """Of each file that is written."""
    answer_bytes: int = 16 * MEGABYTE
    """Of what is returned."""


def bounded_call(function: str, given: Any, limits: CallLimits = CallLimits()) -> Any:
    """What `function` ("module:name") returns for `given`; both are plain JSON.

    Raises:
        InvalidInputError: it raised; says what.
        LimitError: it passed a limit and was stopped.
    """
    process = AskedProcess(CALLED)
    head = asdict(limits) | {"function": function, "given": given}
    try:
        reply = process.ask(head, limits.seconds)
    except TimeoutError:
        raise limit_error(f"took more than {limits.seconds:g} s") from None
    except OSError:
        raise _death(process.kill(), limits) from None
    finally:
        process.kill()
    if "limit" in reply.said:
        raise limit_error(reply.said["limit"])
    if "errors" in reply.said:
        raise InvalidInputError(reply.said["errors"])
    return reply.said["value"]


def _death(status: int, limits: CallLimits) -> LimitError:
    if status == -signal.SIGXFSZ:
        return limit_error(f"wrote a file of more than {limits.file_bytes // MEGABYTE} MiB")
    return limit_error(limit_of_death(status, limits.cpu_seconds))
