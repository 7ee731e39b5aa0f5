"""What a new user types, in an empty folder; and the user's rows."""

import csv
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

DIST = Path("dist")
ROWS, SEED = 360, 20261129
START_SECONDS = 120.0
TRAIN = "modelmill[train]"
OWN_RECIPE = "recipe.yaml"
RUN, UP = f"mill run {OWN_RECIPE}", "mill up --http-port 0"

THINGS = {
    "en": {
        "billing": ["was charged twice", "needs an invoice", "wants the money back"],
        "technical": ["sees a blank page", "cannot open the app", "gets an error at the start"],
        "account": ["forgot the password", "wants another user name", "is locked out"],
    },
    "zh": {
        "账单": ["被重复扣款", "需要发票", "想要退款"],
        "技术": ["页面一片空白", "打不开应用", "启动时报错"],
        "账户": ["忘记了密码", "想改用户名", "账号被锁定"],
    },
}
WHO = {
    "en": ["A customer", "Our colleague", "Mr. Brown", "A student", "The buyer", "Ms. Lee"],
    "zh": ["客户", "我们的同事", "王先生", "一名学生", "买家", "李女士"],
}
WHEN = {
    "en": ["since Monday", "again", "after the update", "on the phone", "this morning", "in May"],
    "zh": ["从周一开始", "又一次", "更新之后", "在手机上", "今天早上", "五月份"],
}


def tickets() -> list[tuple[str, str]]:
    """All tickets with their labels, shuffled; no text comes twice."""
    every = [
        (f"{who} {what} {when}." if language == "en" else f"{who}{when}{what}。", label)
        for language, kinds in THINGS.items()
        for label, whats in kinds.items()
        for who, what, when in itertools.product(WHO[language], whats, WHEN[language])
    ]
    random.Random(SEED).shuffle(every)
    return every


def write_tickets(folder: Path, rows: Sequence[tuple[str, str]]) -> None:
    """The user's file."""
    with (folder / "tickets.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("text", "label"), *rows])


def setup(base: Path, python: str) -> list[str]:
    """What is typed before the first run."""
    new = f"mill recipe new --data tickets.csv --kind classify --base {base}"
    return [f"{python} -m venv venv", install(TRAIN), new]


def install(what: str) -> str:
    """The command that installs a distribution out of dist/."""
    dist = DIST.absolute()
    return f"venv/bin/pip install -q --find-links {dist} -c {dist}/constraints.txt '{what}'"


@dataclass
class Journey:
    """What a user types, in an empty folder; each is counted."""

    folder: Path
    typed: list[str] = field(default_factory=list)
    state: str = ".modelmill"

    def type(self, command: str, *, expect: int = 0) -> str:
        """Run a command as a shell does, and give what it said.

        Raises:
            SystemExit: it ended with another status; what it said is shown.
        """
        self.typed.append(command)
        return self.run(command, expect=expect)

    def run(self, command: str, *, expect: int = 0) -> str:
        """The same, uncounted: to look at what happened."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != expect:
            sys.exit(f"{command!r} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    @contextmanager
    def stack(self) -> Iterator[str]:
        """`mill up` in another terminal, until the block ends; gives its address."""
        command = UP
        self.typed.append(command)
        with (self.folder / "up.out").open("w+", encoding="utf-8") as said:
            up = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self._environment(),
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            try:
                yield _ready(up, Path(said.name))
            finally:
                up.send_signal(signal.SIGINT)
                up.wait(60)

    def _environment(self) -> dict[str, str]:
        """The caller's without its virtual environment."""
        clean = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        path = f"{self.folder / 'venv' / 'bin'}:{os.environ['PATH']}"
        return clean | {"PATH": path, "COLUMNS": "200", "MODELMILL_STATE": self.state}


def _ready(up: subprocess.Popen[bytes], said: Path) -> str:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends and up.poll() is None:
        for line in said.read_text(encoding="utf-8").splitlines():
            if line.startswith("ready: "):
                return line.split()[1]
        time.sleep(0.2)
    sys.exit(f"mill up did not start:\n{said.read_text(encoding='utf-8')}")
