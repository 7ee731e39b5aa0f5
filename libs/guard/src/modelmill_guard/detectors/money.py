"""Numbers of bank cards and accounts."""

from modelmill_pii.numbers import is_card, is_iban

from modelmill_guard.detectors.verified import detector

# Grouped as cards print it. Any grouping would find a "card" in every second table of figures, for
# one number in ten has a right check digit.
_GROUPED = r"\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?"

CARD_NUMBER = detector(rf"\b(?:\d{{13,19}}|{_GROUPED}|\d{{4}}[ -]\d{{6}}[ -]\d{{4,5}})\b", is_card)
CN_BANK_CARD = detector(
    r"\b62(?:\d{14,17}|\d{2}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?|\d{4}[ -]\d{10,13})\b",
    is_card,
)
IBAN = detector(r"\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{4}){2,7}(?:[ -]?[a-z0-9]{1,3})?\b", is_iban)
