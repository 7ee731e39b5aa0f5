"""Licences of packages, as SPDX names them where their metadata allows that."""

import re
from collections.abc import Iterable, Mapping
from email.message import Message

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression

FACTORY = LicenseFactory()
SPELLINGS = {
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "3-clause bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "gnu lesser general public license v2 or later (lgplv2+)": "LGPL-2.1-or-later",
    "python software foundation license": "PSF-2.0",
}
"""What SPDX calls the licences that packages spell otherwise. BSD alone may be any of four."""
DEBIAN = {
    "expat": "MIT",
    "gpl-1+": "GPL-1.0-or-later",
    "gpl-2": "GPL-2.0-only",
    "gpl-2+": "GPL-2.0-or-later",
    "gpl-3": "GPL-3.0-only",
    "gpl-3+": "GPL-3.0-or-later",
    "lgpl-2": "LGPL-2.0-only",
    "lgpl-2+": "LGPL-2.0-or-later",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-2.1+": "LGPL-2.1-or-later",
    "lgpl-3": "LGPL-3.0-only",
    "lgpl-3+": "LGPL-3.0-or-later",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "isc": "ISC",
    "zlib": "Zlib",
}
LONGEST_NAME = 80


def of_python(metadata: Message) -> list[License]:
    """From a distribution's metadata: expression, field or classifiers, in this order."""
    expression = metadata.get("License-Expression")
    if expression:
        return [FACTORY.make_from_string(expression)]
    field = _first_line(metadata.get("License") or "")
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier", [])
        if each.startswith("License :: ") and not each.endswith(" :: OSI Approved")
    ]
    known = _known(field, SPELLINGS)
    if known is not None:
        return [known]
    found = [_known(each, SPELLINGS) for each in classifiers]
    if found and all(found):
        # Of several classifiers nobody says whether all hold or one may be chosen.
        return _several([each for each in found if each])
    named = classifiers or ([field] if field else [])
    return [DisjunctiveLicense(name=each) for each in named]


def of_debian(names: Iterable[str]) -> list[License]:
    """From the names in the machine-readable copyright file of a Debian package."""
    found = [
        _known(name, DEBIAN) or DisjunctiveLicense(name=name[:LONGEST_NAME])
        for name in sorted(set(names))
    ]
    return _several(found)


def has_spdx(licences: Iterable[License]) -> bool:
    """Whether each of them, and one at least, is known to SPDX."""
    given = [*licences]
    return bool(given) and all(isinstance(it, LicenseExpression) or bool(it.id) for it in given)


def _known(text: str, spellings: Mapping[str, str]) -> License | None:
    """An SPDX id or expression; None for any other text."""
    if not text:
        return None
    made = FACTORY.make_from_string(spellings.get(text.lower(), text))
    is_name = isinstance(made, DisjunctiveLicense) and not made.id
    return None if is_name else made


def _several(licences: list[License]) -> list[License]:
    """As CycloneDX takes several: an expression stands alone, else as the name of a licence."""
    if len(licences) < 2:
        return licences
    return [
        DisjunctiveLicense(name=it.value) if isinstance(it, LicenseExpression) else it
        for it in licences
    ]


def _first_line(text: str) -> str:
    line = next((it.strip() for it in text.splitlines() if it.strip()), "")
    line = re.sub(r"^(License :: )?OSI Approved :: ", "", line)
    return line if len(line) <= LONGEST_NAME else ""
