"""What helps others to help, as files: findings, versions, figures and the end of the log.

Never in it: secrets, prompts, answers, rows, names of tenants, models and files of people.
"""

import json
import re
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from modelmill_cli.doctor.diagnose import diagnose
from modelmill_cli.doctor.examined import Examined
from modelmill_cli.doctor.state_files import secret_files

LOG_LINES, LINE_CHARACTERS = 5000, 400
OURS = re.compile(r"^ *[a-z_]+ (?:[-\d]+T[:.\d]+ )?(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) ")
OF_THE_BROKER = re.compile(r"^ *nats .*\[(?:INF|WRN|ERR|FTL)\]")
"""Lines of both hold words and ids of ours; others may quote what somebody wrote."""
SECRET = "[secret]"
LEAST_SECRET = 8
"""Characters of what is looked for; less would be found in any text."""


def support_files(it: Examined) -> Mapping[str, bytes]:
    """By name; what a secret file holds is nowhere in them."""
    found = {
        "findings.jsonl": "".join(f"{json.dumps(asdict(each))}\n" for each in diagnose(it)),
        "machine.json": json.dumps(asdict(it.machine), indent=1),
        "installed.json": json.dumps(asdict(it.installed), indent=1, default=str),
        "up.log": log_end(it.state.path / "up.log"),
    }
    if it.broker_config is not None:
        found["nats.conf"] = it.broker_config
    if it.running is not None:
        pages = {name: asdict(page) for name, page in it.running.pages.items()}
        found["metrics.json"] = json.dumps(pages, indent=1)
        if it.running.broker is not None:
            found["broker.json"] = json.dumps(asdict(it.running.broker), indent=1, default=sorted)
    secrets = [*_secrets(it)]
    return {name: _without(text, secrets).encode() for name, text in found.items()}


def log_end(file: Path) -> str:
    """The last lines that are of ours or of the broker; how many others there were."""
    lines, others = deque[str](maxlen=LOG_LINES), 0
    with suppress(OSError), file.open(encoding="utf-8", errors="replace") as log:
        for line in log:
            if OURS.match(line) or OF_THE_BROKER.match(line):
                lines.append(line.rstrip("\n")[:LINE_CHARACTERS])
            else:
                others += 1
    return "".join(f"{line}\n" for line in lines) + f"{others} other lines were left out\n"


def _secrets(it: Examined) -> Iterable[str]:
    """What secret files hold, line by line, and the secret of the instance."""
    if it.running is not None:
        yield it.running.runtime.service_secret
    for file in secret_files(it.state):
        if file != it.state.runtime_file:
            with suppress(OSError, UnicodeDecodeError):
                yield from file.read_text("utf-8").split("\n")


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if len(secret.strip()) >= LEAST_SECRET and not secret.startswith("-----"):
            text = text.replace(secret.strip(), SECRET)
    return text
