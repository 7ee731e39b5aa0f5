"""What a text spells by escapes is judged as it reads, at every cut, and masked where it stands."""

from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_guard.stream import StreamGuard
from modelmill_guard.verdict import Action, Direction

RULES = r"""
rules:
- {id: kite, category: c, severity: low, action: block, directions: both,
   keywords: [how to make a kite, 如何做风筝]}
- {id: name, category: c, severity: low, action: mask, directions: both, keywords: [bob, 王小明]}
- {id: mail, category: c, severity: low, action: mask, directions: both, detector: email}
- {id: lock, category: c, severity: low, action: flag, directions: both,
   keywords: [kites fly high]}
"""
BUNDLE = compile_policy(parse_policy({"p": RULES}))
POLICY = CompiledPolicy.from_bundle(BUNDLE.content, BUNDLE.digest)

WAYS: dict[str, Callable[[str], str]] = {
    "decimal": lambda one: f"&#{ord(one)};",
    "padded": lambda one: f"&#{ord(one):06};",
    "hex": lambda one: f"&#x{ord(one):x};",
    "HEX": lambda one: f"&#X{ord(one):X};",
    "percent": lambda one: quote(one) if not one.isascii() else f"%{ord(one):02X}",
    "percent u": lambda one: f"%u{ord(one):04x}",
    "u": lambda one: f"\\u{ord(one):04x}",
    "braces": lambda one: f"\\u{{{ord(one):x}}}",
    "U": lambda one: f"\\U{ord(one):08X}",
    "x": lambda one: f"\\x{ord(one):02x}" if one.isascii() else one,
    "N": lambda one: f"\\N{{LATIN SMALL LETTER {one.upper()}}}" if one in "bokite" else one,
}
TWICE: dict[str, Callable[[str], str]] = {
    "amp": lambda one: f"&amp;#{ord(one)};",
    "amp x": lambda one: f"&#38;#x{ord(one):x};",
    "percent": lambda one: "".join(f"%25{byte:02x}" for byte in one.encode()),
    "backslash": lambda one: f"\\\\u{ord(one):04x}",
    "of an entity": lambda one: "".join(f"%{ord(sign):02x}" for sign in f"&#{ord(one)};"),
}


def shown(pieces: list[str], stream: StreamGuard | None = None) -> tuple[str, object]:
    stream = stream or POLICY.stream(Direction.OUTPUT)
    out = "".join([stream.push(piece).text for piece in pieces])
    last = stream.finish()
    return out + last.text, last.verdict


def holds(text: str, wanted: str) -> None:
    """Comes out as wanted however it is cut in two, and one by one."""
    verdict = POLICY.check(text, Direction.OUTPUT)
    cuts = [[text[:at], text[at:]] for at in range(len(text))]
    for pieces in (*cuts, [*text]):
        assert shown(pieces) == (wanted, verdict), pieces


@pytest.mark.parametrize("way", [*WAYS.items(), *TWICE.items()], ids=lambda way: way[0])
@pytest.mark.parametrize("phrase", ["how to make a kite", "如何做风筝"])
def test_a_phrase_is_blocked_where_its_escapes_begin(
    phrase: str, way: tuple[str, Callable[[str], str]]
) -> None:
    all_of_it = "".join(map(way[1], phrase))
    holds(f"so, {all_of_it} now", "so, ")
    for at in (1, len(phrase) - 2):
        one = f"{phrase[:at]}{way[1](phrase[at])}{phrase[at + 1 :]}"
        holds(f"so, {one} now", "so, ")


@pytest.mark.parametrize("way", [*WAYS.items(), *TWICE.items()], ids=lambda way: way[0])
@pytest.mark.parametrize("name", ["bob", "王小明"])
def test_a_mask_covers_the_escapes(name: str, way: tuple[str, Callable[[str], str]]) -> None:
    written = "".join(map(way[1], name))
    holds(f"ask {written}, {name}!", f"ask {'*' * len(written)}, {'*' * len(name)}!")


@pytest.mark.parametrize(
    "written",
    [
        "how&nbsp;to&#32;make&Tab;a kite",
        "how%20to%20make%20a%20kite",
        "how\\nto\\tmake a kite",
        "how to make a ki&shy;te",
        "how to make a &kfr;ite",
        "how to make a \\ud835\\udc24ite",
        "how&#32to&#32make&#32a&#32kite",
        "how to make a ki&zwnj;&ZeroWidthSpace;te",
        "how_to_make_a_%6bite",
        "how&lowbar;to&period;make&sol;a kite",
        "&#104;&#x6f;%77 \\x74o make a k&#105te",
    ],
)
def test_ways_may_be_mixed(written: str) -> None:
    holds(f"so, {written} now", "so, ")


def test_an_escape_may_complete_another() -> None:
    holds("so %2\\x62bob now", "so %2\\x62*** now")


def test_patterns_and_detectors_read_them_too() -> None:
    holds("to ann%40example.org now", "to ****************** now".replace("*" * 18, "*" * 17))


@pytest.mark.parametrize(
    "text",
    [
        "100% of R&D, 50%bo; AT&T \\ & x",
        "&#xb &#; &; %zz %u12 \\u12 \\x \\N{NO SUCH LETTER} \\ud835 \\U00ffffff",
        "a &lt;b&gt; b &amp;amp; c%2525",
        "%2\\x62bobs",
        "C:\\temp\\new\\bo\\x",
        "%e7%8e bo %ff%fe",
    ],
)
def test_other_signs_leave_as_they_came(text: str) -> None:
    holds(text, text)


WRITTEN = r"""
    &#9 8; &#98 ; %6 2 %25 % &amp; #98; \ \u00 62 o b & \x62 high a@b .com ﬀ &fjlig; &zwj;
    \ud835 \udc1b _ &nbsp;
"""
PIECES = st.sampled_from(
    [*WRITTEN.split(), "bob ", "\u0301", "kites fly ", "how to make a kite", " "]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=12), st.data())
def test_neither_verdict_nor_release_depends_on_the_cuts(
    pieces: list[str], data: st.DataObject
) -> None:
    text = "".join(pieces)
    wanted = POLICY.check(text, Direction.OUTPUT)
    first = [match.start for match in wanted.matches if match.action is Action.BLOCK][:1]
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=6).map(sorted))
    for cut in (places, range(len(text))):
        out, verdict = shown([text[a:b] for a, b in pairwise([0, *cut, len(text)])])
        assert verdict == wanted
        if first:
            assert len(out) == first[0]
        else:
            assert out == wanted.text
        assert all(one in (other, "*") for one, other in zip(out, text, strict=False))


def test_once_nothing_grows_a_text_is_read_once_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, read = POLICY.stream(Direction.OUTPUT), list[str]()
    stream.push("100%41 of it. ")
    stream.push("And more. ")
    monkeypatch.setattr(
        "modelmill_guard.stream.UnescapedText.feed",
        lambda self, text, finished: read.append(text),
    )
    stream.push("Nothing of that is read as escapes.")
    assert read == []
