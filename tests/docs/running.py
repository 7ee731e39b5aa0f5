"""Runs the blocks of a document, one after the other, in the shell of one reader.

A reader's folder has Modelmill running in it with a tiny model, and what a clone has. What a page
leaves (files, a served name) is there for the next one, in the order of `blocks.documents`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT

from modelmill_testkit.models import make_tiny_llama

from tests.bad_input.mill import StartedMill, mill
from tests.docs.blocks import ROOT, Block

WRITTEN_URL = "http://127.0.0.1:8080"
"""Where Modelmill is, as documents say it; tests have a free port."""
BEGINS, ENDS = "# block ", "MODELMILL_BLOCK"
PAGE_SECONDS = 540
BIN = Path(sys.executable).parent
"""How-to guides begin where `mill` is found."""
SETTINGS = {"GATEWAY_WEBHOOK_ALLOW_PRIVATE": "true"}
"""What a block that is not run would have set."""


class BlockFailedError(AssertionError):
    """A block ended badly; the message has its place and what it said."""


@dataclass(frozen=True)
class Reader:
    """A folder in which somebody reads the documentation, and types what it says."""

    folder: Path
    url: str

    def run(self, blocks: Sequence[Block]) -> None:
        """Run the blocks of a page.

        Raises:
            BlockFailedError: one ends badly, or the page takes too long.
        """
        script = script_of(blocks).replace(WRITTEN_URL, self.url)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PAGE_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            place, _, said = done.stdout.rpartition(BEGINS)[2].partition("\n")
            raise BlockFailedError(f"{place} ended with {done.returncode}:\n{said[-4000:]}")


def script_of(blocks: Sequence[Block]) -> str:
    """What a shell reads to run them; each says where it begins."""
    return "".join(
        f"echo '{BEGINS}{block.name}'\n"
        + (block.code if block.language == "sh" else f"python - <<'{ENDS}'\n{block.code}{ENDS}\n")
        for block in blocks
    )


@contextmanager
def reading(folder: Path) -> Iterator[Reader]:
    """A reader's folder, with Modelmill up in it."""
    (folder / ".venv").symlink_to(BIN.parent)
    (folder / "deploy").symlink_to(ROOT / "deploy")
    make_tiny_llama(folder / "base", context_tokens=4096)
    state = folder / ".modelmill"
    up = StartedMill(state, "up", "--http-port", "0", **SETTINGS)
    try:
        up.wait_for_line("ready:")
        imported = mill(state, "models", "import", str(folder / "base"), "--name", "wordnet")
        assert imported.status == 0, imported.err
        yield Reader(folder, up.state.read_runtime().http_url)
    finally:
        up.signal_until_ended(SIGINT)
