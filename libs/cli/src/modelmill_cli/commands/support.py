"""`mill support`: one file for whoever helps, without secrets and without what people wrote."""

import asyncio
import io
import tarfile
import time
from pathlib import Path
from typing import Annotated

import typer

from modelmill_cli.output import AsJson, print_done
from modelmill_cli.state_folder import write_private


def support(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", dir_okay=False, help="Where to write it.")
    ] = Path("modelmill-support.tar.gz"),
    as_json: AsJson = False,
) -> None:
    """Write findings, versions, figures and the log's end to FILE, without secrets and prompts.

    Look through it before you send it.
    """
    from modelmill_cli.doctor.diagnose import examine
    from modelmill_cli.doctor.support import support_files

    files = support_files(asyncio.run(examine(context.obj, ports={})))
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in sorted(files.items()):
            entry = tarfile.TarInfo(f"modelmill-support/{name}")
            entry.size, entry.mtime, entry.mode = len(text), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(text))
    write_private(file, content.getvalue())
    record = {"path": str(file), "files": sorted(files)}
    print_done(record, f"{file}: {', '.join(sorted(files))}", as_json=as_json)
