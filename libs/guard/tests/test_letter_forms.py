"""Letters in other forms are read as the letters that they are, wherever a phrase is judged."""

import unicodedata
from itertools import pairwise
from string import ascii_lowercase

import pytest
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.normalise import normalise
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Direction

RULE = "{id: a, category: c, severity: low, action: mask, directions: both, keywords: %s}"


def compiled(keywords: str) -> CompiledPolicy:
    bundle = compile_policy(parse_policy({"p": f"rules: [{RULE % keywords}]"}))
    return CompiledPolicy.from_bundle(bundle.content, bundle.digest)


def written_in(name: str) -> dict[str, str]:
    """The alphabet by a name in which the letter stands for {}; as much of it as there is."""
    table = {}
    for letter in ascii_lowercase:
        try:
            table[letter] = unicodedata.lookup(name.format(letter.upper()))
        except KeyError:
            continue
    return table


NAMES = [
    "LATIN LETTER SMALL CAPITAL {}",
    "LATIN SMALL LETTER {} WITH HOOK",
    "LATIN SMALL LETTER {} WITH STROKE",
    "LATIN SMALL LETTER {} WITH MIDDLE TILDE",
    "LATIN SMALL LETTER {} WITH PALATAL HOOK",
    "LATIN CAPITAL LETTER {} WITH OBLIQUE STROKE",
    "REGIONAL INDICATOR SYMBOL LETTER {}",
    "PARENTHESIZED LATIN SMALL LETTER {}",
    "PARENTHESIZED LATIN CAPITAL LETTER {}",
    "NEGATIVE CIRCLED LATIN CAPITAL LETTER {}",
    "NEGATIVE SQUARED LATIN CAPITAL LETTER {}",
    "SQUARED LATIN CAPITAL LETTER {}",
    "CIRCLED LATIN SMALL LETTER {}",
]
PHRASE = "how to make a quick fox jump over lazy dogs"
POLICY = compiled(f"[{PHRASE}]")


@pytest.mark.parametrize("name", NAMES)
def test_a_phrase_in_any_form_is_masked_where_it_stands_however_it_is_cut(name: str) -> None:
    written = PHRASE.translate(str.maketrans(written_in(name)))
    assert written != PHRASE
    text = f"x, {written}."
    for place in range(len(text)):
        stream = POLICY.stream(Direction.OUTPUT)
        pieces = [text[a:b] for a, b in pairwise((0, place, len(text)))]
        shown = [stream.push(piece).text for piece in pieces]
        assert "".join([*shown, stream.finish().text]) == f"x, {'*' * len(written)}."


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("b\u0640o\u0640m\u07fab", "bomb"),
        ("ΗΟW ΤΟ", "how to"),  # Greek capitals
        ("ⲎⲞⲘⲈ ⲦⲞⲚ ⲩ", "home ton y"),  # Coptic
        ("ҺоԜ Տ", "how s"),
        ("ɓøɱɓ ʍəŋ", "bomb men"),
        ("弾薬製造と氷毒", "弹药制造と冰毒"),  # Japanese forms
        ("⻔⺟⻋⻓", "门母车长"),  # the block of radicals
    ],
)
def test_letters_are_read_as_what_they_pass_for(written: str, read: str) -> None:
    assert normalise(written) == normalise(read) == read


@pytest.mark.parametrize("keyword", ["νήση", "ΝΗΣΟΥ", "όνομα", "νίκη", "սար", "мир"])
def test_words_of_other_scripts_match_in_any_case(keyword: str) -> None:
    policy = compiled(f"[{keyword}]")
    for written in (keyword, keyword.lower(), keyword.upper(), keyword.title()):
        assert policy.check(written, Direction.INPUT).text == "*" * len(written)


@pytest.mark.parametrize("text", ["│ a │ b │", "б", "№ 5", "Ω α β"])
def test_signs_are_no_letters(text: str) -> None:
    assert not set(normalise(text)) & set("ile")
