"""Check digits of numbers that people have, and what else a number must be to be one."""

from datetime import date

_CN_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CN_ID_CHECKS = "10X98765432"
_CN_PROVINCES = (
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 "
    "71 81 82 83"
)
_CREDIT_CODE_DIGITS = "0123456789ABCDEFGHJKLMNPQRTUWXY"

_CARD_PREFIXES = (
    (4, 4, (16, 19)),
    (51, 55, (16,)),
    (2221, 2720, (16,)),
    (34, 34, (15,)),
    (37, 37, (15,)),
    (6011, 6011, (16,)),
    (644, 659, (16,)),
    (62, 62, (16, 17, 18, 19)),
    (3528, 3589, (16,)),
    (300, 305, (14,)),
    (36, 36, (14,)),
    (38, 39, (14,)),
)
"""First digits from, to, and how many digits such a card has."""


def is_card(digits: str) -> bool:
    """Whether a known network has such numbers and the check digit (Luhn) is right."""
    known = any(
        low <= int(digits[: len(str(low))]) <= high and len(digits) in lengths
        for low, high, lengths in _CARD_PREFIXES
    )
    return known and luhn_sum(digits) % 10 == 0


def luhn_sum(digits: str) -> int:
    """The sum of digits, every second one from the right doubled, that Luhn's check is about."""
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return sum(map(int, digits[-1::-2])) + sum(two - 9 * (two > 9) for two in doubled)


def is_cn_id(number: str) -> bool:
    """Whether a number of 18 digits has a province, a day of birth and the right check digit."""
    if number[:2] not in _CN_PROVINCES.split():
        return False
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return cn_id_check(number[:17]) == number[17].upper()


def cn_id_check(first: str) -> str:
    """The check digit after the first 17."""
    total = sum(weight * int(digit) for weight, digit in zip(_CN_ID_WEIGHTS, first, strict=True))
    return _CN_ID_CHECKS[total % 11]


def is_cn_credit_code(code: str) -> bool:
    """Whether a unified social credit code (GB 32100) has the right check character."""
    return cn_credit_code_check(code[:17]) == code[17]


def cn_credit_code_check(first: str) -> str:
    """The check character after the first 17."""
    total = sum(
        pow(3, place, 31) * _CREDIT_CODE_DIGITS.index(character)
        for place, character in enumerate(first)
    )
    return _CREDIT_CODE_DIGITS[-total % 31]
