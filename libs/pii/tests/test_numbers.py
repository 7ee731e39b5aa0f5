"""Published numbers are valid in any layout, and not with another check digit."""

import re

import pytest
from modelmill_pii.numbers import (
    IBAN_LENGTHS,
    is_card,
    is_cn_credit_code,
    is_cn_id,
    is_iban,
    is_us_ssn,
)

PUBLISHED = [
    (is_iban, "GB82 WEST 1234 5698 7654 32"),
    (is_iban, "fr1420041010050500013m02606"),
    (is_card, "4111-1111-1111-1111"),
    (is_card, "3782 822463 10005"),
    (is_card, "30569309025904"),
    (is_card, "6200000000000005"),
    (is_cn_id, "110105 19491231 002x"),
    (is_cn_id, "440524188001010014"),
    (is_cn_credit_code, "91350100M000100Y43"),
    (is_cn_credit_code, "91350100m000100y43"),
]

INVALID = [
    (is_iban, "QQ82 WEST 1234 5698 7654 32"),  # no country
    (is_iban, "GB29 1234 1234 5698 7654 32"),  # digits where a bank's letters are
    (is_card, "1111 1111 1111 1117"),  # no network
    (is_card, "41111111111111111116"),  # no such length
    (is_cn_id, "99010519491231002X"),  # no province
    (is_cn_id, "11010519490231002X"),  # no such day
    (is_us_ssn, "666-45-6789"),
    (is_us_ssn, "900-45-6789"),
    (is_us_ssn, "078-05-1120"),
]


@pytest.mark.parametrize(("valid", "number"), PUBLISHED)
def test_a_published_number_is_valid_and_no_other_check_digit_is(valid, number: str) -> None:
    place = 3 if valid is is_iban else len(number) - 1
    others = [
        number[:place] + digit + number[place + 1 :]
        for digit in "0123456789"
        if digit != number[place]
    ]

    assert valid(number)
    assert not any(map(valid, others))


@pytest.mark.parametrize(("valid", "number"), INVALID)
def test_what_nobody_issues_is_invalid(valid, number: str) -> None:
    assert not valid(number)


@pytest.mark.parametrize("authority", "ANY")
def test_authorities_with_a_letter_give_credit_codes(authority: str) -> None:
    digits = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    first = authority + "1350100M000100Y4"
    total = sum(digits.index(one) * pow(3, place, 31) for place, one in enumerate(first))

    assert is_cn_credit_code(first + digits[-total % 31])


def test_a_social_security_number_that_may_be_issued_is_valid_in_both_layouts() -> None:
    assert is_us_ssn("536-22-8726")
    assert is_us_ssn("536 22 8726")


def test_every_country_of_the_registry_has_a_length() -> None:
    assert len(IBAN_LENGTHS) == 89
    assert all(re.fullmatch("[A-Z]{2}", country) for country in IBAN_LENGTHS)
    assert (IBAN_LENGTHS["NO"], IBAN_LENGTHS["RU"]) == (15, 33)
