"""Numbers that name a person or an organisation in China."""

from modelmill_guard.detectors.verified import detector, is_date, without_separators

_PROVINCES = (
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54"
    " 61 62 63 64 65 71 81 82 83"
)
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10x98765432"

_USCC_ALPHABET = "0123456789abcdefghjklmnpqrtuwxy"
_USCC_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)

_UNALLOTTED_MOBILE = "142 143 154 160 161 163 164 168 169 179 194"
"""Beginnings that no operator has."""


def is_id_card(text: str) -> bool:
    """GB 11643: a province, a day of birth, and ISO 7064 MOD 11-2 over the 17 digits."""
    number = without_separators(text)
    if len(number) != 18 or number[:2] not in _PROVINCES:
        return False
    if not is_date(number[6:10], number[10:12], number[12:14]):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, _ID_WEIGHTS, strict=False))
    return number[17] == _ID_CHECKS[total % 11]


def is_uscc(text: str) -> bool:
    """GB 32100: the check character makes the weighted sum a multiple of 31."""
    if len(text) != 18:
        return False
    values = [_USCC_ALPHABET.index(character) for character in text]
    total = sum(value * weight for value, weight in zip(values, _USCC_WEIGHTS, strict=False))
    return values[17] == -total % 31


def is_mobile(text: str) -> bool:
    """The first three digits belong to an operator."""
    return without_separators(text)[-11:-8] not in _UNALLOTTED_MOBILE


def is_passport(text: str) -> bool:
    """No check digit is printed on its number; only what nobody is given is left out."""
    return len(set(text[-7:])) > 1


ID_CARD = detector(
    r"\b[1-8]\d{5}[ -]?(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"[ -]?\d{3}[\dx]\b",
    is_id_card,
)
MOBILE = detector(r"\b(?:86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}\b", is_mobile)
PASSPORT = detector(r"\b(?:[eg]\d{8}|e[a-hj-np-z]\d{7}|[dps]e\d{7})\b", is_passport)
USCC = detector(r"\b[1-9any][1-59]\d{6}[0-9a-hj-npqrtuwxy]{10}\b", is_uscc)
