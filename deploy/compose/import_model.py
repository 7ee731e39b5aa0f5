"""Bring a Hugging Face folder into the artifact volume and announce it.

What `mill models import` does beside `mill up`. Runs inside a container of data-prep, which has the
volume; the identity on the bus is that of `mill`.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from modelmill_bus.bus import Bus
from modelmill_data_prep.settings import Settings
from modelmill_registry.model_folder import check_model_folder, import_model
from modelmill_registry.store import store_of
from modelmill_service_kit.errors import DomainError
from modelmill_tokenization.bounded.here import try_tokenizer


async def bring_in(folder: Path, *, name: str, tenant: str) -> str:
    """Returns the id of the new version."""
    settings = Settings()
    async with Bus.of(settings, name="cli") as bus:
        store = store_of(settings)
        ready = await import_model(
            bus, store, folder, tenant=tenant, name=name, try_out=try_tokenizer
        )
    return ready.version_id


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True, help="for people")
    parser.add_argument("--tenant", default="demo", help="owner; `shared` lets every tenant use it")
    wanted = parser.parse_args()
    try:
        for warning in check_model_folder(wanted.folder).warnings:
            print(f"import: warning: {warning}", file=sys.stderr)
        print(asyncio.run(bring_in(wanted.folder, name=wanted.name, tenant=wanted.tenant)))
    except (DomainError, OSError) as error:
        print(f"import: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
