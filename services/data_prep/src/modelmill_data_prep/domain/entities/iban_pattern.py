"""The shape of international bank account numbers, as people group them."""

import re

from modelmill_pii.numbers import IBAN_LENGTHS


def _of_length(length: int) -> str:
    """Such numbers in groups of four; their check digits are 02 to 98."""
    countries = "|".join(one for one, characters in IBAN_LENGTHS.items() if characters == length)
    groups, rest = divmod(length - 4, 4)
    last = f"[ -]?[A-Z0-9]{{{rest}}}" if rest else ""
    return f"(?:{countries})(?:0[2-9]|[1-8][0-9]|9[0-8])(?:[ -]?[A-Z0-9]{{4}}){{{groups}}}{last}"


_ANY = "|".join(map(_of_length, sorted({*IBAN_LENGTHS.values()})))

# Looked ahead for, so that a number that begins within what only looks like one is found, too.
IBAN = re.compile(f"(?<![0-9A-Za-z])(?=(?P<iban>{_ANY})(?![0-9A-Za-z]))", re.IGNORECASE | re.ASCII)

# Begins with a digit: the search for one is quick, and most texts have few.
IBAN_HINT = re.compile("[0-9](?<=[A-Za-z]{2}[0-9])[0-9][ -]?[0-9A-Za-z]{4}")
