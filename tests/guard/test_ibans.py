"""Account numbers of every country are found by the guard and by data-prep alike."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.entities.pseudonyms import Pseudonymiser
from modelmill_data_prep.domain.entities.rule_finder import RuleFinder
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Direction

REGISTRY = (
    "AD:4n4n12c AE:3n16n AL:8n16c AT:5n11n AZ:4a20c BA:3n3n8n2n BE:3n7n2n BG:4a4n2n8c BH:4a14c"
    " BI:5n5n11n2n BR:8n5n10n1a1c BY:4c4n16c CH:5n12c CR:4n14n CY:3n5n16c CZ:4n16n DE:8n10n"
    " DJ:5n5n11n2n DK:4n9n1n DO:4c20n EE:2n14n EG:4n4n17n ES:4n4n1n1n10n FI:3n11n FK:2a12n"
    " FO:4n9n1n FR:5n5n11c2n GB:4a6n8n GE:2a16n GI:4a15c GL:4n9n1n GR:3n4n16c GT:4c20c HN:4a20n"
    " HR:7n10n HU:3n4n1n15n1n IE:4a6n8n IL:3n3n13n IQ:4a3n12n IS:4n2n6n10n IT:1a5n5n12c JO:4a4n18c"
    " KW:4a22c KZ:3n13c LB:4n20c LC:4a24c LI:5n12c LT:5n11n LU:3n13c LV:4a13c LY:3n3n15n"
    " MC:5n5n11c2n MD:2c18c ME:3n13n2n MK:3n10c2n MN:4n12n MR:5n5n11n2n MT:4a5n18c"
    " MU:4a2n2n12n3n3a NI:4a20n NL:4a10n NO:4n6n1n OM:3n16c PK:4a16c PL:8n16n PS:4a21c"
    " PT:4n4n11n2n QA:4a21c RO:4a16c RS:3n13n2n RU:9n5n15c SA:2n18c SC:4a2n2n16n3a SD:2n12n"
    " SE:3n16n1n SI:5n8n2n SK:4n6n10n SM:1a5n5n12c SO:4n3n12n ST:4n4n11n2n SV:4a20n TL:3n14n2n"
    " TN:2n3n13n2n TR:5n1n16c UA:6n19c VA:3n15n VG:4a16n XK:4n10n2n YE:4a4n18c"
)
"""SWIFT's IBAN registry, release 101: what follows check digits; n digits, a letters, c both."""

DIGITS, LETTERS = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CLASSES = {"n": DIGITS, "a": LETTERS, "c": DIGITS + LETTERS}
BUNDLE = compile_policy(
    parse_policy(
        {
            "ibans.yaml": "{rules: [{id: iban, category: pii, severity: low,"
            " action: mask, directions: both, detector: iban}]}"
        }
    )
)
POLICY = CompiledPolicy.from_bundle(BUNDLE.content, BUNDLE.digest)
FIND, PSEUDONYMISE = RuleFinder(), Pseudonymiser(b"a key")


@st.composite
def ibans(draw: st.DrawFn, entry: str) -> str:
    """A number as the country makes them, with the check digits of ISO 7064."""
    country, _, structure = entry.partition(":")
    body = "".join(
        draw(st.text(CLASSES[kind], min_size=int(count), max_size=int(count)))
        for count, kind in re.findall(r"(\d+)([nac])", structure)
    )
    remainder = int("".join(str(int(c, 36)) for c in f"{body}{country}00")) % 97
    return f"{country}{98 - remainder:02}{body}"


def ways_to_write(iban: str) -> list[str]:
    groups = [iban[start : start + 4] for start in range(0, len(iban), 4)]
    return [iban, iban.lower(), " ".join(groups), "-".join(groups)]


def found_in(text: str) -> list[str]:
    return [text[one.start : one.end] for one in FIND([text])[0] if one.type == "iban"]


@pytest.mark.parametrize("entry", REGISTRY.split())
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_both_find_the_numbers_of_a_country(entry: str, data: st.DataObject) -> None:
    for iban in ways_to_write(data.draw(ibans(entry))):
        masked = POLICY.check(f"Pay to {iban}, today", Direction.OUTPUT).text

        assert masked == f"Pay to {'*' * len(iban)}, today"
        assert found_in(f"Pay to {iban}, today") == [iban]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_both_find_a_number_between_words_of_its_shape(data: st.DataObject) -> None:
    iban = data.draw(ibans(data.draw(st.sampled_from(REGISTRY.split()))))
    for written in ways_to_write(iban):
        for text in (f"{written} then goes", f"AB12 {written}"):
            masked = POLICY.check(text, Direction.OUTPUT).text

            assert masked == text.replace(written, "*" * len(written))
            assert found_in(text) == [written]


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_no_stand_in_is_a_number_or_shows_one(data: st.DataObject) -> None:
    iban = data.draw(ibans(data.draw(st.sampled_from(REGISTRY.split()))))
    stand_ins = [PSEUDONYMISE("iban", written) for written in ways_to_write(iban)]

    assert not any(map(found_in, stand_ins))
    assert len({re.sub("[^0-9A-Za-z]", "", one).upper() for one in stand_ins}) == 1
    assert not set(stand_ins[0][4:]) & set(LETTERS) - {"X"}
