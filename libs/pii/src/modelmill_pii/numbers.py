"""Validators of identity, account and card numbers, written with or without spaces and hyphens.

Where candidates are in a text is the caller's matter: each reads other texts.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from stdnum import iban, luhn, numdb
from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError
from stdnum.us import ssn

IBAN_LENGTHS: Mapping[str, int] = MappingProxyType(
    {
        country: 4 + sum(map(int, re.findall("[0-9]+", properties["bban"])))
        for _, country, _, properties, _ in numdb.get("iban").prefixes
    }
)
"""Characters of a country's IBAN, as SWIFT's registry lists them."""

_CN_PROVINCE = re.compile("1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]")


def is_iban(number: str) -> bool:
    """ISO 13616: the structure that the country's numbers have, and the remainder of 97.

    Check digits of single countries are not asked for: some banks break them.
    """
    return iban.is_valid(number, check_country=False)


def is_card(number: str) -> bool:
    """ISO/IEC 7812: a network that numbers cards of this length, and Luhn's check digit."""
    digits = _compact(number)
    return len(digits) in _card_lengths(digits) and luhn.is_valid(digits)


def _card_lengths(digits: str) -> tuple[int, ...]:
    """Lengths that the number's issuer has, by the ranges that networks publish."""
    first_two, first_four = int(digits[:2]), int(digits[:4])
    if digits[0] == "4":
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


def is_cn_id(number: str) -> bool:
    """GB 11643, resident identity: a province, a day of birth, and the check digit.

    The county is not looked up: lists of former ones have gaps.
    """
    compact = _compact(number)
    if len(compact) != 18 or not _CN_PROVINCE.match(compact):
        return False
    try:
        ric.get_birth_date(compact)
    except ValidationError:
        return False
    return cn_id_check_digit(compact[:17]) == compact[17]


def cn_id_check_digit(first: str) -> str:
    """The check digit after the first 17."""
    return ric.calc_check_digit(f"{first}0")


def is_cn_credit_code(code: str) -> bool:
    """GB 32100, unified social credit code: the check character.

    Not `uscc.is_valid`, which knows no authorities with a letter (A, N, Y: army, farming, others).
    """
    compact = _compact(code)
    return len(compact) == 18 and uscc.calc_check_digit(compact) == compact[17]


def is_us_ssn(number: str) -> bool:
    """Area, group and serial that may have been issued, and were not printed in advertisements."""
    return ssn.is_valid(_compact(number))


def _compact(number: str) -> str:
    return number.replace(" ", "").replace("-", "").upper()
