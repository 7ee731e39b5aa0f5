"""frontdoor.*: from wheels to an own model that answers, as a new user would go.

    make dist
    python -m tests.bench.frontdoor --base FOLDER [--python python3.13] [--keep]

Everything happens in an empty folder outside the clone, with nothing of the clone but `dist/` and
the base model, a Hugging Face folder that the user has (`deploy/demo/base_model.py` makes one).
Rows: 360 support tickets, drawn from templates, half of them English and half Chinese, to one of
three labels of their language; what is asked later is in no row.

`frontdoor.commands`: commands typed until the model has answered in both languages; creating the
environment, installing and waiting count. `frontdoor.minutes`: from the first command to the last
answer, with the time that the package index takes. `frontdoor.answers`: share of 12 held-out
tickets whose answer is the label, by `mill chat`.
`frontdoor.second_run`: seconds of `mill run` again without a change, while `mill up` runs;
`frontdoor.second_run_jobs`: jobs that it created.
`frontdoor.size.*`: MB on disk of an environment with what the name says, by the sizes of its files.
`--keep` writes deploy/bench/frontdoor.json, in place of the entries of the same ids there.
"""

import argparse
import csv
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from tests import run_record
from tests.bench.figures import Entry
from tests.bench.report import show

RESULT = Path("deploy/bench/frontdoor.json")
DIST = Path("dist")
MOST_COMMANDS, MOST_MINUTES, MOST_SECOND_SECONDS = 8, 12.0, 5.0
ROWS, ASKED, SEED = 360, 12, 20261129
START_SECONDS = 120.0
SIZES = {"serve": "modelmill", "train": "modelmill[train]", "client": "modelmill-client"}

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


@dataclass
class Journey:
    """What a user types, in an empty folder; each is counted."""

    folder: Path
    typed: list[str] = field(default_factory=list)

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
            env=_environment(self.folder),
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
        command = "mill up --http-port 0"
        self.typed.append(command)
        with (self.folder / "up.out").open("w+", encoding="utf-8") as said:
            up = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=_environment(self.folder),
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            try:
                yield _ready(up, Path(said.name))
            finally:
                up.send_signal(signal.SIGINT)
                up.wait(60)


def _environment(folder: Path) -> dict[str, str]:
    """The caller's without its virtual environment."""
    clean = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return clean | {"PATH": f"{folder / 'venv' / 'bin'}:{os.environ['PATH']}", "COLUMNS": "200"}


def _ready(up: subprocess.Popen[bytes], said: Path) -> str:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends and up.poll() is None:
        for line in said.read_text(encoding="utf-8").splitlines():
            if line.startswith("ready: "):
                return line.split()[1]
        time.sleep(0.2)
    sys.exit(f"mill up did not start:\n{said.read_text(encoding='utf-8')}")


@dataclass
class Found:
    """What the journey measured."""

    minutes: float
    commands: Sequence[str]
    right: int
    second_seconds: float
    second_jobs: int


def go(folder: Path, base: Path, python: str) -> Found:
    """The whole journey, in an empty folder."""
    every = tickets()
    with (folder / "tickets.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *every[:ROWS]])
    # An English one first, then a Chinese one.
    held_out = every[ROWS : ROWS + ASKED]
    first = [next(it for it in held_out if it[0].isascii() is flag) for flag in (True, False)]
    asked = [*first, *(it for it in held_out if it not in first)]
    journey, began = Journey(folder), time.monotonic()
    places = {str(DIST.absolute()): "dist", str(base): "BASE", python: "python3"}
    journey.type(f"{python} -m venv venv")
    journey.type(install(SIZES["train"]))
    journey.type(f"mill recipe new --data tickets.csv --kind classify --base {base}")
    journey.type("mill run recipe.yaml")
    with journey.stack() as address:
        answers = [journey.type(_question(text)) for text, _ in asked[:2]]
        minutes = (time.monotonic() - began) / 60
        typed = [_without(places, command) for command in journey.typed]
        answers += [journey.run(_question(text)) for text, _ in asked[2:]]
        before, began = _jobs(journey, address), time.monotonic()
        journey.run("mill run recipe.yaml")
        seconds = time.monotonic() - began
        created = _jobs(journey, address) - before
    right = sum(label == answer.strip() for (_, label), answer in zip(asked, answers, strict=True))
    return Found(minutes, typed, right, seconds, created)


def install(what: str) -> str:
    """The command that installs a distribution out of dist/."""
    dist = DIST.absolute()
    return f"venv/bin/pip install -q --find-links {dist} -c {dist}/constraints.txt '{what}'"


def _without(places: Mapping[str, str], command: str) -> str:
    """A command as anybody would type it: without where things lie on this machine."""
    for place, name in places.items():
        command = command.replace(place, name)
    return command


def _question(text: str) -> str:
    return f"mill chat --model tickets --max-tokens 8 '{text}'"


def _jobs(journey: Journey, address: str) -> int:
    token = journey.run("mill token").strip()
    request = urllib.request.Request(
        f"{address}/v1/jobs?limit=100", headers={"authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request) as answer:
        return len(json.load(answer)["data"])


def size_of(what: str, python: str) -> float:
    """MB of an environment with a distribution and what it needs, beyond an empty one."""
    with TemporaryDirectory() as place:
        journey = Journey(Path(place))
        journey.run(f"{python} -m venv venv")
        empty = _bytes(Path(place))
        journey.run(install(what))
        return (_bytes(Path(place)) - empty) / 1e6


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def entries(found: Found, sizes: dict[str, float]) -> list[Entry]:
    """What is kept."""
    commands = len(found.commands)
    return [
        _entry("commands", commands, "commands", MOST_COMMANDS, "; ".join(found.commands)),
        _entry("minutes", found.minutes, "min", MOST_MINUTES, "the index's time too"),
        _entry("second_run", found.second_seconds, "s", MOST_SECOND_SECONDS, "nothing changed"),
        _entry("second_run_jobs", found.second_jobs, "jobs", 0, "created by the second run"),
        Entry(
            "frontdoor.answers",
            found.right / ASKED,
            "share",
            "no rival",
            1.0,
            "",
            None,
            (found.right / ASKED, found.right / ASKED),
            f"{found.right} of {ASKED} held-out tickets, English and Chinese",
        ),
        *(_entry(f"size.{name}", mb, "MB", None, SIZES[name]) for name, mb in sizes.items()),
    ]


def _entry(name: str, value: float, unit: str, most: float | None, note: str) -> Entry:
    return Entry(
        f"frontdoor.{name}",
        value,
        unit,
        "no rival",
        1.0,
        "" if most is None else f"<= {most:g} {unit}",
        None if most is None else value <= most,
        (value, value),
        f"{note}; one run, so its interval is a point",
    )


def main() -> int:
    """Measure, show, and keep if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.frontdoor")
    parser.add_argument("--base", required=True, type=Path, help="Hugging Face folder")
    parser.add_argument("--python", default="python3", help="interpreter of the environments")
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT}")
    given = parser.parse_args()
    if not DIST.is_dir():
        sys.exit("there is no dist/: run `make dist` first")
    with TemporaryDirectory(prefix="frontdoor-") as folder:
        found = go(Path(folder), given.base.absolute(), given.python)
    sizes = {name: size_of(what, given.python) for name, what in SIZES.items()}
    lines = entries(found, sizes)
    show(lines, Console())
    if given.keep:
        _keep(lines)
    return 0 if all(line.met is not False for line in lines) else 1


def _keep(lines: Sequence[Entry]) -> None:
    measured = {line.id for line in lines}
    others = []
    if RESULT.is_file():
        kept = json.loads(RESULT.read_text(encoding="utf-8"))["entries"]
        others = [one for one in kept if one["id"] not in measured]
    run_record.save(
        run_record.circumstances(()) | {"entries": [*map(asdict, lines), *others]}, RESULT
    )


if __name__ == "__main__":
    sys.exit(main())
