"""`mill verify`: whether a model or a release is what its maker signed."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelmill_cli.output import AsJson, print_json, print_table_of
from modelmill_cli.tables import escaped

if TYPE_CHECKING:
    from modelmill_cli.provenance.verify import Verdict


def verify(
    target: Annotated[
        Path, typer.Argument(metavar="FOLDER_OR_FILE", help="An exported model, or a release.")
    ],
    key: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="provenance.pub of whoever made it."),
    ],
    images: Annotated[
        bool, typer.Option("--images", help="Also the signed images, in this machine's Docker.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify a model's export or a release by the public key of its maker; status 1 if refused.

    Nothing is sent or fetched.
    """
    from modelmill_cli.provenance import verify as verification
    from modelmill_cli.provenance.key import read_public_key

    known = read_public_key(key)
    verdict = verification.verify(target, known)
    refusals = list(verdict.refusals)
    if images and verdict.statements:
        refusals += verification.verify_images(target, verdict.images)
    record = {
        **{"verified": not refusals, "key": known.keyid, "files": verdict.files},
        **{"images": dict(verdict.images), "refusals": [asdict(each) for each in refusals]},
        "statements": list(verdict.statements),
    }
    if as_json:
        print_json(record)
    for each in () if as_json else refusals:
        typer.echo(escaped(f"refused: {each}"), err=True)
    if refusals:
        raise typer.Exit(1)
    if not as_json:
        facts = {"signed by": known.keyid[:16], "files": f"{verdict.files}, all as signed"}
        print_table_of(record, (facts | dict(_facts(verdict))).items(), as_json=False)


def _facts(verdict: "Verdict") -> Iterator[tuple[str, Any]]:
    """What the statements say, for people."""
    if verdict.images:
        yield "images", ", ".join(verdict.images)
    for statement in verdict.statements:
        built = statement["predicate"]["buildDefinition"]
        chosen = (built.get(f"{whose}Parameters", {}) for whose in ("external", "internal"))
        for name, value in (one for each in chosen for one in each.items()):
            if isinstance(value, str):
                yield name.replace("_", " "), value
        for each in built.get("resolvedDependencies", ()):
            sha256 = each.get("digest", {}).get("sha256")
            said = f"sha256:{sha256}" if sha256 else each.get("uri", "")
            yield f"from {each.get('name', '')}", said
        run = statement["predicate"].get("runDetails", {})
        if "invocationId" in run.get("metadata", {}):
            yield "made by", run["metadata"]["invocationId"]
