"""npm packages that the console is built from, as its lock has them."""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    XsUri,
)
from cyclonedx.model.component import Component
from packageurl import PackageURL

from deploy.supply import licences
from deploy.supply.locked import LockError

LOCK = Path("console", "package-lock.json")
"""In the folder of the gateway."""
FOLDER = "node_modules/"
ALGORITHM = "sha512-"


def bundled(file: Path) -> Iterator[Component]:
    """Packages that may be in the built console; those that only build it are not.

    Raises:
        LockError: A package has no version or no SHA-512.
    """
    packages = json.loads(file.read_text("utf-8"))["packages"]
    for place, each in sorted(packages.items()):
        if not place or each.get("dev") or each.get("link"):
            continue
        full = place.rpartition(FOLDER)[2]
        integrity = each.get("integrity", "")
        if "version" not in each or not integrity.startswith(ALGORITHM):
            raise LockError(f"{file} has no version or SHA-512 of {full}. Run npm install there")
        yield _component(full, each["version"], integrity, each.get("license", ""))


def _component(full: str, number: str, integrity: str, licence: str) -> Component:
    group, _, name = full.rpartition("/")
    purl = PackageURL("npm", group or None, name, number)
    content = b64decode(integrity.removeprefix(ALGORITHM)).hex()
    return Component(
        group=group or None,
        name=name,
        version=number,
        purl=purl,
        bom_ref=str(purl),
        licenses=[licences.FACTORY.make_from_string(licence)] if licence else [],
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(f"https://www.npmjs.com/package/{full}/v/{number}"),
                comment="hash of the package's archive, of which parts are in the console",
                hashes=[HashType(alg=HashAlgorithm.SHA_512, content=content)],
            )
        ],
    )
