"""Numbers that name a person or an organisation in China."""

from modelmill_pii.numbers import is_cn_credit_code, is_cn_id

from modelmill_guard.detectors.verified import detector, without_separators

_UNALLOTTED_MOBILE = "142 143 154 160 161 163 164 168 169 179 194"
"""Beginnings that no operator has."""


def is_mobile(text: str) -> bool:
    """The first three digits belong to an operator."""
    return without_separators(text)[-11:-8] not in _UNALLOTTED_MOBILE


def is_passport(text: str) -> bool:
    """No check digit is printed on its number; only what nobody is given is left out."""
    return len(set(text[-7:])) > 1


ID_CARD = detector(
    r"\b[1-8]\d{5}[ -]?(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"[ -]?\d{3}[\dx]\b",
    is_cn_id,
)
MOBILE = detector(r"\b(?:86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}\b", is_mobile)
PASSPORT = detector(r"\b(?:[eg]\d{8}|e[a-hj-np-z]\d{7}|[dps]e\d{7})\b", is_passport)
USCC = detector(r"\b[1-9ahjny][1-9]\d{6}[0-9a-hj-npqrtuwxy]{10}\b", is_cn_credit_code)
