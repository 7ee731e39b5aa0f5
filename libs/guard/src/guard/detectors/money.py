"""Numbers of bank cards and accounts."""

from guard.detectors.verified import detector, without_separators

# Grouped as cards print it. Any grouping would find a "card" in every second table of figures, for
# one number in ten has a right check digit.
_GROUPED = r"\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?"

_IBAN_LENGTHS = (
    "ad:24 ae:23 al:28 at:20 az:28 ba:20 be:16 bg:22 bh:22 bi:27 br:29 by:28 ch:21 cr:22"
    " cy:28 cz:24 de:22 dj:27 dk:18 do:28 ee:20 eg:29 es:24 fi:18 fk:18 fo:18 fr:27 gb:22"
    " ge:22 gi:23 gl:18 gr:27 gt:28 hn:28 hr:21 hu:28 ie:22 il:23 iq:23 is:26 it:27 jo:30"
    " kw:30 kz:20 lb:28 lc:32 li:21 lt:20 lu:20 lv:21 ly:25 mc:27 md:24 me:22 mk:19 mn:20"
    " mr:27 mt:31 mu:30 ni:28 nl:18 no:15 om:23 pk:24 pl:28 ps:29 pt:25 qa:29 ro:24 rs:22"
    " ru:33 sa:24 sc:31 sd:18 se:24 si:19 sk:24 sm:27 so:23 st:25 sv:28 tl:23 tn:24 tr:26"
    " ua:29 va:22 vg:24 xk:20 ye:30"
)
"""Characters of a country's IBAN, as SWIFT's registry lists them."""


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


def is_iban(text: str) -> bool:
    """ISO 13616: the country's length, and the rotated number is 1 modulo 97."""
    number = without_separators(text)
    if f"{number[:2]}:{len(number)}" not in _IBAN_LENGTHS:
        return False
    return int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1


CARD_NUMBER = detector(
    rf"\b(?:\d{{13,19}}|{_GROUPED}|\d{{4}}[ -]\d{{6}}[ -]\d{{4,5}})\b", is_card_number
)
CN_BANK_CARD = detector(
    r"\b62(?:\d{14,17}|\d{2}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?|\d{4}[ -]\d{10,13})\b",
    is_cn_bank_card,
)
IBAN = detector(r"\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{4}){2,7}(?:[ -]?[a-z0-9]{1,3})?\b", is_iban)
