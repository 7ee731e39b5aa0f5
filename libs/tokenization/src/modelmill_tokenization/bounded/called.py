"""The process of one bounded call: `python -m modelmill_tokenization.bounded.called <fd>`.

The function's module is ours and is imported before the limits hold; what it imports itself when
it is called, is within them.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

from modelmill_service_kit.errors import DomainError

from modelmill_tokenization.bounded.frames import HEAD, frame
from modelmill_tokenization.bounded.limits import MAX_MESSAGE_CHARACTERS


def confine(asked: Mapping[str, Any]) -> None:
    """Let the kernel end this process at its limits, and let nobody read what libraries print."""
    for kind, most in (
        (resource.RLIMIT_AS, asked["memory_bytes"]),
        (resource.RLIMIT_FSIZE, asked["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    # Python ignores the one for files.
    for number in (signal.SIGPROF, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to leave
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    signal.setitimer(signal.ITIMER_PROF, asked["cpu_seconds"])


def answer(asked: Mapping[str, Any]) -> bytes:
    """One frame; whatever the function raises becomes an error in it."""
    module, _, name = asked["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    confine(asked)
    try:
        said = frame({"value": function(asked["given"])})
        if len(said) > asked["answer_bytes"]:
            return frame({"limit": f"said more than {asked['answer_bytes']} bytes"})
        return said
    except DomainError as error:
        errors = [error.message]
    except MemoryError:
        return frame({"limit": "needed more memory than it may have"})
    # A panic of a Rust library is no Exception.
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
        errors = [f"the model's tokenizer or chat template failed: {text}"]
    return frame({"errors": [error[:MAX_MESSAGE_CHARACTERS] for error in errors]})


def main() -> None:
    """Run as a process."""
    with socket.socket(fileno=int(sys.argv[1])) as link, contextlib.suppress(OSError):
        link.sendall(frame({}))
        with link.makefile("rb") as asked:
            length, _ = HEAD.unpack(asked.read(HEAD.size))
            link.sendall(answer(json.loads(asked.read(length))))
    # Libraries' threads may not end.
    os._exit(0)


if __name__ == "__main__":
    main()
