"""Prints how many cases were tried, and whether the broker allowed what the table declares."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.identities.matrix import try_everything

with TemporaryDirectory() as folder:
    verdict = asyncio.run(try_everything(Path(folder)))
print(verdict)
sys.exit(1 if verdict.differences else 0)
