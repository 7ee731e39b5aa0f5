"""Folder of stored comparisons, by the tenant that asked for them: they are erased with it.

<tenant>/<digests>  a comparison of two datasets
<tenant>/partial    one in the making

The inspector's child writes here, one comparison at a time.
"""

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

STORED = "by_tenant"
"""Its name in the inspector's folder."""
MOST_STORED = 16
"""Comparisons of all tenants that are kept; a million rows of both take some 40 MB."""
PARTIAL = "partial"


class ComparisonFolder:
    """Comparisons on the disk, the last of them that were asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, tenant: str, digests: Iterable[str]) -> Path:
        """Where the comparison of these datasets is, or would be."""
        return self._root / tenant / "-".join(each.replace(":", "-") for each in digests)

    def begin(self, folder: Path) -> Path:
        """A new folder in which the comparison for `folder` is made, and then renamed."""
        # Children that were killed left some, and nobody else writes here.
        for old in (*self._root.glob(f"*/{PARTIAL}"), folder):
            shutil.rmtree(old, ignore_errors=True)
        partial = folder.parent / PARTIAL
        partial.mkdir(parents=True)
        return partial

    def remove_oldest(self) -> None:
        """Keep `MOST_STORED`."""
        stored = sorted(self._root.glob("*/*"), key=_last_asked)
        for folder in stored[:-MOST_STORED]:
            shutil.rmtree(folder, ignore_errors=True)

    async def count(self, tenant: str) -> dict[str, int]:
        """How many comparisons of the tenant's are stored."""
        stored = await asyncio.to_thread(lambda: [*(self._root / tenant).glob("*")])
        return {"comparisons": sum(each.name != PARTIAL for each in stored)}

    async def erase(self, tenant: str) -> None:
        """Remove the tenant's, also what a killed child left.

        Raises:
            OSError: A child writes there just now; begin again.
        """
        folder = self._root / tenant
        if await asyncio.to_thread(folder.exists):
            await asyncio.to_thread(shutil.rmtree, folder)


def _last_asked(folder: Path) -> float:
    """When it was asked for last; it may go at the same time with its tenant."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
