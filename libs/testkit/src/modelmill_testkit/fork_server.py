"""A process that has imported what a child process imports, and is copied for each that is started.

Child of `modelmill_testkit.forked_starts`: `python -m modelmill_testkit.fork_server FD PADDING`. A
copy takes milliseconds, and runs the module as `python -m` would: with its arguments, environment,
descriptors and command line, as a child of the process that asked.
"""

import ctypes
import fcntl
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

MESSAGE_BYTES = 1 << 17
MOST_DESCRIPTORS = 64
FREE_DESCRIPTOR = 200
"""From here on descriptors wait that are to have another number."""
STARTED = ("jemalloc_bg_thd",)
"""Threads of Arrow's allocator, which knows of copies."""
ARGUMENTS_BEGIN, ARGUMENTS_END = 45, 46
"""Places of their addresses in `/proc/self/stat`, behind the name and the state."""


class Start(NamedTuple):
    """What is to run, and where its descriptors go."""

    module: str
    arguments: list[str]
    command: list[str]
    environment: dict[str, str]
    folder: str
    numbers: list[int]
    """Of the descriptors that came with it, in their order."""
    leads_group: bool


def preload(asked: dict[str, Any]) -> None:
    """Import what the module would, under the same conditions."""
    if asked["before"]:
        module, _, name = asked["before"].partition(":")
        getattr(importlib.import_module(module), name)()
    hidden = [name for name in asked["hidden"] if name not in sys.modules]
    gc.disable()
    sys.modules.update(dict.fromkeys(hidden))
    for name in asked["modules"]:
        importlib.import_module(name)
    for name in hidden:
        del sys.modules[name]
    # What runs as `__main__` is loaded once more, as in a process that begins with it.
    sys.modules.pop(asked["module"], None)
    gc.freeze()
    gc.enable()


def has_own_threads() -> bool:
    """Whether there are threads that a copy would lack, but for those that libraries start anew."""
    if (copy := os.fork()) == 0:
        os._exit(0)  # some libraries end theirs before a copy
    os.waitpid(copy, 0)
    tasks = Path("/proc/self/task").glob("*/comm")
    return len([name for task in tasks if (name := task.read_text().strip()) not in STARTED]) > 1


def serve(link: socket.socket) -> tuple[Start, list[int]] | None:
    """Copy this process for each request; in a copy the request, and None once nobody asks."""
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(link, MESSAGE_BYTES, MOST_DESCRIPTORS)
        except ConnectionResetError:  # who asked ended, and left an answer unread
            return None
        if not message:
            return None
        start = Start(**json.loads(message))
        if _leave_to_asker(link, start):
            return start, descriptors
        for descriptor in descriptors:
            os.close(descriptor)


def _leave_to_asker(link: socket.socket, start: Start) -> bool:
    """Whether this is the copy. Its parent ends at once, so that it becomes a child of who asked:
    of the next one above that takes orphans."""
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        # Only now, when it has its parent.
        link.send(b"forked")
        return False
    parent = os.getpid()
    copy = os.fork()
    if copy == 0:
        # What runs here may look for its parent, who has yet to end.
        while os.getppid() == parent:
            os.sched_yield()
        return True
    if start.leads_group:
        os.setpgid(copy, copy)
    link.send(str(copy).encode())
    os._exit(0)


def become(start: Start, descriptors: Sequence[int]) -> None:
    """Have descriptors, environment and command line of a process that was started so."""
    waiting = [fcntl.fcntl(each, fcntl.F_DUPFD, FREE_DESCRIPTOR) for each in descriptors]
    for each in descriptors:
        os.close(each)
    for each, number in zip(waiting, start.numbers, strict=True):
        os.dup2(each, number)
        os.close(each)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(start.environment)
    os.chdir(start.folder)
    sys.path[0] = start.folder  # as of every `python -m`
    sys.argv = [start.module, *start.arguments]
    _set_command_line(start.command)


def _set_command_line(command: Sequence[str]) -> None:
    """What `ps` shows, and tests that look for their children."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[ARGUMENTS_BEGIN]), int(fields[ARGUMENTS_END])
    written = "\0".join(command).encode()[: end - begin - 1]
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, written, len(written))


def main() -> None:
    """Run as a process."""
    link = socket.socket(fileno=int(sys.argv[1]))
    # A terminal's Ctrl-C is for who asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    preload(json.loads(link.recv(MESSAGE_BYTES)))
    link.send(b"threads" if has_own_threads() else b"ready")
    if (asked := serve(link)) is None:
        os._exit(0)  # large libraries take seconds to leave
    link.close()
    become(*asked)
    runpy.run_module(asked[0].module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
