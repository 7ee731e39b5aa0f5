"""What each detector finds and leaves: published examples, made numbers, and any cut of a text."""

import subprocess
import sys
from datetime import date
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.detectors import DETECTOR_NAMES
from modelmill_guard.policy import PolicyError, parse_policy
from modelmill_guard.verdict import Action, Direction

OUTPUT = Direction.OUTPUT
RULE = "{{id: {0}, category: pii, severity: low, action: mask, directions: both, detector: {0}}}"


@cache
def policy_of(*names: str) -> CompiledPolicy:
    rules = "\n- ".join(RULE.format(name) for name in names)
    bundle = compile_policy(parse_policy({"test": f"rules:\n- {rules}"}))
    return CompiledPolicy.from_bundle(bundle.content, bundle.digest)


JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0"
    ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
)

FOUND = [
    ("cn-id-card", "11010519491231002X"),
    ("cn-id-card", "440524188001010014"),
    ("cn-id-card", "110105 19491231 002x"),
    ("cn-mobile", "13812345678"),
    ("cn-mobile", "86 199-1234-5678"),
    ("cn-bank-card", "6200000000000005"),
    ("cn-bank-card", "6205 5000 0000 0000 004"),
    ("cn-passport", "E12345678"),
    ("cn-passport", "EB1234567"),
    ("uscc", "91350100M000100Y43"),
    ("card-number", "4111111111111111"),
    ("card-number", "4111 1111 1111 1111"),
    ("card-number", "5555-5555-5555-4444"),
    ("card-number", "3782 822463 10005"),
    ("card-number", "30569309025904"),
    ("card-number", "3530111333300000"),
    ("iban", "GB82 WEST 1234 5698 7654 32"),
    ("iban", "DE89370400440532013000"),
    ("iban", "FR1420041010050500013M02606"),
    ("iban", "MT84MALT011000012345MTLCAST001S"),
    ("us-ssn", "123-45-6789"),
    ("email", "Disposable.style.email.with+symbol@example.co.uk"),
    ("ip-address", "192.168.10.24"),
    ("ip-address", "2001:db8:85a3::8a2e:370:7334"),
    ("ip-address", "fe80::1ff:fe23:4567:890a"),
    ("jwt", JWT),
    ("aws-key", "AKIAIOSFODNN7EXAMPLE"),
    ("github-token", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
    ("github-token", "github_pat_11ABCDEFG0aBcDeFgHiJkL_" + "a1B2c3D4" * 7 + "xYz"),
    ("openai-key", "sk-proj-4f9Kq2LmZ81xTvB0aW7e"),
    ("aliyun-key", "LTAI5tQ7mZ81xTvB0aW7e"),
    ("tencent-key", "AKIDz8krbsJ5yKBZQpn74WFkmLPx3"),
    ("google-api-key", "AIzaSyD4f9Kq2LmZ81xTvB0aW7eR6yU3iO5pA1s"),
    ("gitlab-token", "glpat-4f9Kq2LmZ81xTvB0aW7e"),
    ("huggingface-token", "hf_4f9Kq2LmZ81xTvB0aW7eR6yU3iO5pA"),
    ("npm-token", "npm_4f9Kq2LmZ81xTvB0aW7eR6yU3iO5pA1sD8fG"),
    ("slack-token", "xoxb-2401-4f9Kq2LmZ81xTvB0aW7e"),
    ("stripe-key", "sk_live_4f9Kq2LmZ81xTvB0aW7e"),
    ("private-key", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    ("private-key", "-----BEGIN PGP PRIVATE KEY BLOCK-----"),
]

LEFT = [
    ("cn-id-card", "110105194912310021"),  # check digit
    ("cn-id-card", "11010519490231002X"),  # no such day
    ("cn-id-card", "99010519491231002X"),  # no such province
    ("cn-mobile", "15412345678"),
    ("cn-mobile", "order 1381234567890"),
    ("cn-bank-card", "6200000000000006"),
    ("cn-passport", "E00000000"),
    ("uscc", "91350100M000100Y44"),
    ("card-number", "4111111111111112"),
    ("card-number", "1111 1111 1111 1117"),  # no network
    ("card-number", "10 20 30 40 50 60 70 80"),
    ("iban", "GB82 WEST 1234 5698 7654 33"),
    ("iban", "QQ82 WEST 1234 5698 7654 32"),
    ("us-ssn", "078-05-1120"),
    ("us-ssn", "666-45-6789"),
    ("us-ssn", "900-45-6789"),
    ("email", "a..@b.example"),
    ("email", "a@-b-.example"),
    ("ip-address", "256.1.10.24"),
    ("ip-address", "version 1.2.3.4"),
    ("ip-address", "127.0.0.1"),
    ("ip-address", "12:30:45"),
    ("ip-address", "00:1a:2b:3c:4d:5e"),
    ("ip-address", "std::abc::def"),
    ("jwt", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.x"),
    ("aws-key", "AKIAIOSFODNN1EXAMPLE"),  # no base32
    ("github-token", "ghp_16C7e42F292c6912"),
    ("openai-key", "sk-learn-and-its-friends-in-one-book"),
    ("aliyun-key", "ltaiaabbccddeeff"),
    ("tencent-key", "akidaabbccddeeffgg"),
    ("google-api-key", "AIza" + "-" * 35),
    ("gitlab-token", "glpat-the-name-of-a-token-of-gitlab"),
    ("huggingface-token", "hf_modelsanddatasetsandspacesofmany"),
    ("npm-token", "npm_configurationofregistriesandscopesofpkg"),
    ("slack-token", "xoxb-channel-and-team"),
    ("stripe-key", "sk_live_configurationofaccount"),
    ("private-key", "-----BEGIN PUBLIC KEY-----"),
    ("high-entropy-secret", "password: correcthorsebatterystaple"),
    ("high-entropy-secret", "key=/usr/share/doc/packages"),
]


@pytest.mark.parametrize(("name", "text"), FOUND)
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("是", "吗"), ("(", "),"), ("is ", " and")]
)
def test_a_published_example_is_masked_and_nothing_beside_it(
    name: str, text: str, before: str, after: str
) -> None:
    verdict = policy_of(name).check(before + text + after, OUTPUT)
    assert verdict.text == before + "*" * len(text) + after


@pytest.mark.parametrize(("name", "text"), LEFT)
def test_what_only_looks_like_it_is_left_alone(name: str, text: str) -> None:
    verdict = policy_of(name).check(text, OUTPUT)
    assert (verdict.action, verdict.text) == (Action.ALLOW, text)


def test_every_detector_has_an_example_of_both_kinds() -> None:
    named = {name for name, _ in FOUND} | {"high-entropy-secret"}
    assert named == set(DETECTOR_NAMES) == {name for name, _ in LEFT}


@pytest.mark.parametrize(
    "text",
    [
        "api_key=9f86d081884c7d65",
        'secret: "9f86d081884c7d65"',
        "密码：9f86d081884c7d65",
        "{'token': '9f86d081884c7d65'}",
    ],
)
def test_of_a_named_secret_the_value_is_masked_and_the_name_stays(text: str) -> None:
    masked = text.replace("9f86d081884c7d65", "*" * 16)
    assert policy_of("high-entropy-secret").check(text, OUTPUT).text == masked


def test_full_width_digits_and_invisible_characters_hide_nothing() -> None:
    assert (
        policy_of("card-number").check("４１１１１１１１１１１１１１１１", OUTPUT).text == "*" * 16
    )
    assert (
        policy_of("cn-id-card").check("110105\u200b19491231002Ｘ。", OUTPUT).text == "*" * 19 + "。"
    )


@pytest.mark.parametrize(
    ("name", "text", "masked"),
    [
        # The longest match fails its check; a shorter one from the same place holds.
        ("card-number", "4111 1111 1111 1111 123", "******************* 123"),
        ("iban", "DE89370400440532013000 then goes", "********************** then goes"),
        # The leftmost match fails; one that begins within it holds.
        ("card-number", "1234 4111 1111 1111 1111", "1234 *******************"),
        ("email", "a..b@example.org", "a..*************"),
        ("iban", "AB12 DE89 3704 0044 0532 0130 00", "AB12 ***************************"),
    ],
)
def test_a_match_that_fails_hides_no_other(name: str, text: str, masked: str) -> None:
    assert policy_of(name).check(text, OUTPUT).text == masked


# Made numbers ----------------------------------------------------------------------------------

DIGITS = "0123456789"


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text(DIGITS, min_size=count, max_size=count)


@st.composite
def id_cards(draw: st.DrawFn) -> str:
    born = draw(st.dates(date(1900, 1, 1), date(2030, 12, 31)))
    head = draw(st.sampled_from(["11", "31", "44", "65", "81"])) + draw(digits(4))
    body = f"{head}{born:%Y%m%d}{draw(digits(3))}"
    # The definition, and not the table of weights that the detector has: 2^(17 - place) mod 11.
    total = sum(int(d) * pow(2, 17 - place, 11) for place, d in enumerate(body))
    return body + "0123456789X"[(12 - total % 11) % 11]


@st.composite
def cards(draw: st.DrawFn) -> str:
    body = draw(st.sampled_from(["4", "51", "55", "62"]))
    body += draw(digits(15 - len(body)))
    check = next(d for d in DIGITS if _luhn_by_table(body + d))
    return body + check


def _luhn_by_table(number: str) -> bool:
    doubled = dict(zip(DIGITS, (0, 2, 4, 6, 8, 1, 3, 5, 7, 9), strict=True))
    odd, even = number[-1::-2], number[-2::-2]
    return (sum(map(int, odd)) + sum(doubled[d] for d in even)) % 10 == 0


@st.composite
def ibans(draw: st.DrawFn) -> str:
    country, pattern = draw(
        st.sampled_from(
            [
                *(("DE", "[0-9]{18}"), ("GB", "[A-Z]{4}[0-9]{14}"), ("NO", "[0-9]{11}")),
                ("FR", "[0-9]{10}[A-Z0-9]{11}[0-9]{2}"),
            ]
        )
    )
    body = draw(st.from_regex(pattern, fullmatch=True))
    remainder = int("".join(str(int(c, 36)) for c in f"{body}{country}00")) % 97
    return f"{country}{98 - remainder:02}{body}"


@st.composite
def usccs(draw: st.DrawFn) -> str:
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    body = "91" + draw(digits(6)) + draw(st.text(alphabet, min_size=9, max_size=9))
    total = sum(alphabet.index(c) * pow(3, place, 31) for place, c in enumerate(body))
    return body + alphabet[-total % 31]


MADE = st.one_of(
    st.tuples(st.just("cn-id-card"), id_cards()),
    st.tuples(st.just("card-number"), cards()),
    st.tuples(st.just("iban"), ibans()),
    st.tuples(st.just("uscc"), usccs()),
)


@settings(max_examples=150, deadline=None)
@given(MADE)
def test_any_number_made_by_its_maker_is_found(made: tuple[str, str]) -> None:
    name, number = made
    assert policy_of(name).check(f"no. {number}.", OUTPUT).text == f"no. {'*' * len(number)}."


@settings(max_examples=150, deadline=None)
@given(MADE, st.sampled_from(DIGITS))
def test_a_changed_check_digit_is_no_match(made: tuple[str, str], other: str) -> None:
    name, number = made
    place = 3 if name == "iban" else len(number) - 1
    changed = number[:place] + other + number[place + 1 :]
    if changed != number:
        assert policy_of(name).check(changed, OUTPUT).action is Action.ALLOW


# Cuts ------------------------------------------------------------------------------------------

FRAGMENTS = [text for _, text in FOUND + LEFT] + [
    *(" ", "-", ".", ":", "@", "4111", "1111", "62", "DE89", "key=", "9f86d081884c7d65", "号"),
    *("0", "１", "\u200b", "\u0301", "  ", "eyJ", "sk-", "a..", "gh"),
]


@settings(max_examples=250, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=6), st.data())
def test_no_cut_changes_what_is_found_or_shown(fragments: list[str], data: st.DataObject) -> None:
    text = "".join(fragments)
    expected = policy_of(*DETECTOR_NAMES).check(text, OUTPUT)
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=5))
    for cuts in (sorted(places), range(1, len(text))):
        stream, shown = policy_of(*DETECTOR_NAMES).stream(OUTPUT), ""
        for start, end in pairwise([0, *cuts, len(text)]):
            shown += stream.push(text[start:end]).text
        last = stream.finish()
        assert (shown + last.text, last.verdict) == (expected.text, expected), cuts


def test_text_is_released_once_its_match_has_failed() -> None:
    stream = policy_of("card-number").stream(OUTPUT)
    assert stream.push("4111111111111112").text == ""
    assert stream.push(" no").text == "4111111111111112 no"


@pytest.mark.parametrize(
    "unit", ["1234 ", "a:b:", "6212-", "a..@b.cc", "key=", "sk-a-", "DE89 AB12 "]
)
def test_text_of_nothing_but_failing_matches_is_judged_whole(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    verdict = policy_of(*DETECTOR_NAMES).check(text, OUTPUT)
    assert len(verdict.text) == len(text)


# Policies --------------------------------------------------------------------------------------


def test_a_policy_names_detectors_that_exist() -> None:
    with pytest.raises(PolicyError, match="detector must be one of aliyun-key, aws-key"):
        parse_policy({"p": "rules:\n- " + RULE.format("tea-leaves")})
    both = RULE.format("iban")[:-1] + ", pattern: 'ab', within_words: true}"
    with pytest.raises(PolicyError) as refusal:
        parse_policy({"p": "rules:\n- " + both})
    assert "needs either keywords or a pattern or a detector" in str(refusal.value)
    assert "a detector knows its edges" in str(refusal.value)


def test_who_imports_the_names_waits_for_no_pattern() -> None:
    code = (
        "import modelmill_guard.pattern\n"
        "modelmill_guard.pattern.parse_pattern = None\n"
        "from modelmill_guard.detectors import DETECTOR_NAMES\n"
        "print(*DETECTOR_NAMES)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*DETECTOR_NAMES]
