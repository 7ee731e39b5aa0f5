"""Numbers of bank cards and accounts."""

from modelmill_guard.detectors.verified import detector, without_separators
from modelmill_guard.iban import is_iban

# Grouped as cards print it. Any grouping would find a "card" in every second table of figures, for
# one number in ten has a right check digit.
_GROUPED = r"\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?"


def passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_card_number(text: str) -> bool:
    """A network that numbers cards of this length, and Luhn's check digit."""
    number = without_separators(text)
    return len(number) in _lengths_of(number) and passes_luhn(number)


def _lengths_of(number: str) -> tuple[int, ...]:
    """Lengths that the number's issuer has, by the ranges that networks publish."""
    first_two, first_four = int(number[:2]), int(number[:4])
    if number[0] == "4":
        return (13, 16, 19)
    if 51 <= first_two <= 55 or 2221 <= first_four <= 2720:
        return (16,)
    if first_two in (34, 37):
        return (15,)
    if first_two in (36, 38, 39) or 3000 <= first_four <= 3059:
        return (14, 16, 19)
    if first_two == 35 or first_two in (60, 62, 64, 65, 81):
        return (16, 17, 18, 19)
    return ()


def is_cn_bank_card(text: str) -> bool:
    """UnionPay's range 62, 16 to 19 digits, and Luhn's check digit."""
    return passes_luhn(without_separators(text))


CARD_NUMBER = detector(
    rf"\b(?:\d{{13,19}}|{_GROUPED}|\d{{4}}[ -]\d{{6}}[ -]\d{{4,5}})\b", is_card_number
)
CN_BANK_CARD = detector(
    r"\b62(?:\d{14,17}|\d{2}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?|\d{4}[ -]\d{10,13})\b",
    is_cn_bank_card,
)
IBAN = detector(
    r"\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{4}){2,7}(?:[ -]?[a-z0-9]{1,3})?\b",
    lambda text: is_iban(without_separators(text)),
)
