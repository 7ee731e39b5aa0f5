"""The one function of a text: nothing blocked leaks, and no cut changes verdict or text.

The oracle finds matches on the whole text with plain searches; the engine must agree however the
text comes.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise

import pytest
from guard_support.oracle import each_rule_once, oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.normalise import normalise
from modelmill_guard.policy import parse_policy
from modelmill_guard.stream import StreamGuard
from modelmill_guard.verdict import Action, Direction, Verdict

RULES = r"""
rules:
- {id: bomb, category: illicit/violent, severity: high, action: block, directions: both,
   keywords: [pipe bomb, bombs away, "炸弹", "制造炸药"]}
- {id: inside, category: illicit, severity: high, action: block, directions: both,
   keywords: [napalm], within_words: true}
- {id: name, category: pii, severity: low, action: mask, directions: both,
   keywords: [bob, bob away, "王小明"]}
- {id: part, category: pii, severity: low, action: mask, directions: both,
   keywords: [oaf], within_words: true}
- {id: mail, category: pii, severity: low, action: mask, directions: both,
   pattern: '[a-z0-9.]{1,6}@[a-z0-9]{1,5}\.[a-z]{2,4}'}
- {id: key, category: secrets, severity: high, action: block, directions: output,
   pattern: '\bsk-[a-z0-9]{4,8}\b'}
- {id: prompt, category: prompt-leak, severity: low, action: flag, directions: both,
   keywords: [system prompt, prompt pipe, hot napalm fire]}
- {id: digits, category: pii, severity: low, action: flag, directions: both,
   pattern: '\b\d{3,5}\b'}
"""

POLICY = parse_policy({"rules": RULES})
COMPILED = CompiledPolicy.from_bundle(compile_policy(POLICY).content)
OUTPUT = Direction.OUTPUT


def in_pieces(guard: StreamGuard, pieces: list[str]) -> tuple[str, Verdict]:
    """Everything released, and the verdict; checks that a stop is a stop."""
    shown: list[str] = []
    stopped: Verdict | None = None
    for piece in pieces:
        released = guard.push(piece)
        if stopped is not None:
            assert released.text == ""
            assert released.verdict is None
        shown.append(released.text)
        stopped = stopped or released.verdict
    released = guard.finish()
    assert released.verdict is not None
    assert stopped in (None, released.verdict)
    return "".join([*shown, released.text]), released.verdict


def assert_same_however_cut(text: str, cuts: list[tuple[int, ...]]) -> Verdict:
    expected = oracle(POLICY, text, OUTPUT, COMPILED.digest)
    assert COMPILED.check(text, OUTPUT) == expected
    once = COMPILED.check(text, OUTPUT, each_rule_once=True)
    assert once == each_rule_once(expected)
    shown_before: str | None = None
    for cut in cuts:
        edges = [0, *cut, len(text)]
        pieces = [text[a:b] for a, b in pairwise(edges)]
        shown, verdict = in_pieces(COMPILED.stream(OUTPUT), pieces)
        assert verdict == expected, pieces
        if expected.action is Action.BLOCK:
            first = min(m.start for m in expected.matches if m.action is Action.BLOCK)
            assert len(shown) == first, pieces
            assert all(a in (b, "*") for a, b in zip(shown, text, strict=False)), pieces
        else:
            assert shown == expected.text, pieces
        assert shown_before in (None, shown), pieces
        shown_before = shown
    return expected


# Every split of every phrase -------------------------------------------------------------------

BLOCKED = ["pipe bomb", "bombs away", "炸弹", "制造炸药", "napalm"]


def disguises(phrase: str) -> Iterator[str]:
    yield phrase
    yield phrase.upper()
    yield phrase.title()
    yield "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in phrase)  # full width
    yield "\u200b".join(phrase)
    yield "".join(f"{c}\u0301\u0327" for c in phrase)
    yield phrase.replace(" ", " \u00a0\n ")
    yield " ".join(phrase.replace(" ", ""))
    yield ".*-".join(phrase.replace(" ", ""))
    yield " - ".join(phrase.replace(" ", "")).upper()
    yield phrase.translate(str.maketrans("aopb", "аορ🅱"))  # Cyrillic, Greek, squared


@pytest.mark.parametrize("phrase", BLOCKED)
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("Do it: ", "!"), ("用", "做"), ("pi ", " x")]
)
def test_no_split_of_a_blocked_phrase_lets_any_of_it_out(
    phrase: str, before: str, after: str
) -> None:
    for disguised in disguises(phrase):
        text = before + disguised + after
        inside = range(len(text) + 1)
        cuts: list[tuple[int, ...]] = [(), tuple(range(1, len(text)))]
        cuts += [(one,) for one in inside]
        if len(text) <= 24:
            cuts += list(combinations(inside, 2))

        verdict = assert_same_however_cut(text, cuts)

        assert verdict.action is Action.BLOCK, text
        assert verdict.matches[-1].start == len(before), text


WORDS = """
    pipe bomb bombs away bob oa system prompt napalm hot fire nap s a b _ . - ﬀ ﬁ é ａ В о B ﷺ
    炸 弹 炸弹 制造 炸药 王小 王小明 a.b@c.de @x.yz joe@ex.com sk- sk-abc12 1234 99
"""
APART = ["a.p-a*l~m", "b o b o a f", "炸*弹", "王.小.明", "王,小明", "炸....弹", "b-o-b"]
INVISIBLE = ["\u200b", "\u0301", "\u00ad", "\ufe0f", "\u3164", "\x00"]
FRAGMENTS = [
    *WORDS.split(),
    *APART,
    "b o b",
    "n a p a l m",
    *("BOMBS", "Away", "Napalm", "Pipe", "Bomb", "N"),
    *INVISIBLE,
    " ",
    "  ",
    "\n",
    "e\u0301",
    "\ud800",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14), st.data())
def test_verdict_and_released_text_do_not_depend_on_the_cuts(
    fragments: list[str], data: st.DataObject
) -> None:
    text = "".join(fragments)
    places = st.lists(st.integers(0, len(text)), max_size=6).map(lambda cut: tuple(sorted(cut)))
    cuts = data.draw(st.lists(places, min_size=1, max_size=3))

    assert_same_however_cut(text, [(), tuple(range(1, len(text))), *cuts])


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.data())
def test_any_text_at_all_gets_one_verdict(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    assert_same_however_cut(text, [(cut,)])


# Masks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ask Bob now", "ask *** now"),
        ("ask bob away now", "ask ******** now"),
        ("ask bo\u0301b\u0301\u0327 now", "ask ****** now"),
        ("ask b\u200bob\u200b now", "ask ***** now"),
        ("找王小明吧", "找***吧"),
        ("mail joe@ex.com, please", "mail **********, please"),
        ("ｊｏｅ＠ｅｘ．ｃｏｍ", "**********"),
        ("bobs", "bobs"),
        ("the oaﬀ\u0301er", "the ****er"),
    ],
)
def test_a_mask_covers_the_match_with_its_marks_and_nothing_else(text: str, masked: str) -> None:
    verdict = assert_same_however_cut(text, [tuple(range(1, len(text)))])
    assert verdict.text == masked


# Holding back ----------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["pipe", "bomb", "bob", " away", " ", "a", "@", "x."]), max_size=20)
)
def test_no_more_is_held_than_the_longest_rule(fragments: list[str]) -> None:
    stream, pushed, shown = COMPILED.stream(OUTPUT), "", 0
    for fragment in fragments:
        released = stream.push(fragment)
        if released.verdict is not None:
            return
        pushed, shown = pushed + fragment, shown + len(released.text)
        assert len(normalise(pushed[shown:])) <= 17


# The end ---------------------------------------------------------------------------------------


def test_after_a_block_nothing_more_is_released() -> None:
    stream = COMPILED.stream(OUTPUT)
    stopped = stream.push("well, napalm is")
    assert stopped.text == "well, "
    assert stopped.verdict is not None
    assert stream.push(" harmless text").text == ""
    assert stream.finish() == type(stopped)("", stopped.verdict)


def test_a_block_waits_for_flags_that_began_before_it() -> None:
    verdict = assert_same_however_cut("a hot napalm fire.", [(), tuple(range(1, 18)), (13,), (14,)])
    assert [match.rule_id for match in verdict.matches] == ["prompt", "inside"]


def test_a_finished_text_takes_no_more() -> None:
    stream = COMPILED.stream(OUTPUT)
    stream.finish()
    with pytest.raises(ValueError, match="new text needs a new stream"):
        stream.push("more")


def test_a_rule_for_one_direction_leaves_the_other_alone() -> None:
    assert COMPILED.check("sk-abcd1", Direction.INPUT).action is Action.ALLOW
    assert COMPILED.check("sk-abcd1", Direction.OUTPUT).action is Action.BLOCK


@pytest.mark.parametrize(
    "text",
    ["b" + "\u0301" * 50_000, "pipe" + " " * 50_000 + "x", "a.b@c.de " * 5_000, "\ud800" * 50_000],
)
def test_long_adversarial_texts_get_a_verdict(text: str) -> None:
    assert COMPILED.check(text, OUTPUT).action in (Action.ALLOW, Action.MASK)
