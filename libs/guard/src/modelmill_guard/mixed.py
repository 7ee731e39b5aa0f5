"""Chinese keywords each character of which is written in some way: zha弹, 火乍ㄉㄢ, 如he字沙.

An automaton reads the letters of the shadow copy. What may be growing are beginnings of keywords,
each with what was read of the next character's way; all of them together are a state, made when it
is first met, as RE2 makes its own. As in `spaced`, up to three separators may stand between two
letters, and a clause end only where no letters touch. Pinyin at an end is bounded as a word is, and
a tone's number touches its syllable. Left out is what has Latin letters alone, which are keywords
(`variants`), and what has one Latin letter: "a片" is met by chance.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from modelmill_guard.han_ways import TONES, as_sounds, kinds_of_ways, sound_of, ways_to_write
from modelmill_guard.letters_apart import CLAUSE_END, KINDS, MOST_SEPARATORS, SPACED, LettersApart
from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.reading import AS_WRITTEN, GOES_ON, MOST_BETWEEN_WORDS, any_of, not_after
from modelmill_guard.verdict import Found, RuleHead

MOST_LETTERS = 128
"""In which a keyword may be written: what a stream is held back for."""
_MOST_STEPS = 16_384
"""That are remembered: texts choose them."""
_APART = rf"[\W_]{{0,{MOST_BETWEEN_WORDS}}}"


class _Node:
    """A beginning of keywords that may be written in the same ways."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self._kinds = kinds
        self.children: dict[str, _Node] = {}
        self.rules: list[RuleHead] = []
        """Of the keywords that it is."""
        self._next: _Next | None = None

    def next(self) -> "_Next":
        """What may follow; gathered when it is first asked for."""
        if self._next is None:
            self._next = _Next(self.children, self._kinds)
        return self._next


class _Next:
    """What may follow a beginning."""

    def __init__(self, children: dict[str, _Node], kinds: frozenset[str]) -> None:
        self.written: dict[str, list[_Node]] = defaultdict(list)
        """Whole ways to write a character."""
        self.begun: set[str] = set()
        """Beginnings of them."""
        self.heard: dict[str, list[_Node]] = defaultdict(list)
        """By what `sound_of` gives."""
        for character, child in children.items():
            ways = ways_to_write(character, kinds)
            for way in ways.spelled:
                self.written[way].append(child)
                self.begun.update(way[:length] for length in range(1, len(way)))
            for sound in ways.sounds:
                self.heard[sound].append(child)


class _Growing(NamedTuple):
    """A beginning of keywords, what was read of the next way, and letters since its start."""

    node: _Node
    begun: str
    letters: int


class _Ending(NamedTuple):
    letters: int
    rule: RuleHead


class State:
    """All that may be growing."""

    def __init__(self, growing: tuple[_Growing, ...], ends: tuple[_Ending, ...]) -> None:
        self.growing = growing
        self.ends = ends
        """Keywords that ended with the last letter."""
        self.letters = max((one.letters for one in growing), default=0)
        """Since the first start of them."""
        self.after_any: dict[str, State] = {}
        self.after_touching: dict[str, State] = {}
        """By the letter, where it touches one of a word."""


class MixedKeywords:
    """The automaton; built once, shared by all scans."""

    def __init__(self, keywords: Iterable[tuple[str, RuleHead, tuple[str, ...]]]) -> None:
        """Build from (normalised keyword, its rule, the rule's variants)."""
        roots: dict[frozenset[str], _Node] = {}
        for keyword, rule, variants in keywords:
            letters = "".join(filter(str.isalnum, keyword))
            kinds = kinds_of_ways(letters, variants)
            node = roots.setdefault(kinds, _Node(kinds))
            for character in letters:
                node = node.children.setdefault(character, _Node(kinds))
            if rule not in node.rules:
                node.rules.append(rule)
        self.is_empty = not roots
        self._roots = tuple(_Growing(root, "", 0) for root in roots.values())
        self.nothing = State((), ())
        """The state in which nothing is growing."""
        self._states: dict[tuple[object, ...], State] = {}
        self._steps = 0
        following = [root.next() for root in roots.values()]
        first, in_ascii = _first_letters(following), _beginnings(following)
        self.ways_to_begin = [*first, *in_ascii]
        """Patterns, each of which begins with a literal."""
        self.begins = any_of([f"[{''.join(first)}]"] * bool(first) + in_ascii)
        """Finds where one may begin, also at the end of a text that goes on."""

    def step(self, state: State, letter: str, *, touches: bool) -> State:
        """The state after one more letter, which may touch one of the same word."""
        known = state.after_touching if touches else state.after_any
        after = known.get(letter)
        if after is None:
            after = self._made(state, letter, touches=touches)
            self._steps += 1
            if self._steps > _MOST_STEPS:
                self._forget()
            known[letter] = after
        return after

    def _forget(self) -> None:
        """Let all states go but those in which scans are."""
        self._steps = 0
        self._states.clear()
        self.nothing.after_any.clear()
        self.nothing.after_touching.clear()

    def _made(self, state: State, letter: str, *, touches: bool) -> State:
        grown: dict[_Growing, None] = {}
        ends: dict[_Ending, None] = {}
        begins = () if touches else self._roots
        sound = sound_of(letter)
        for node, begun, letters in (*state.growing, *begins):
            if letters == MOST_LETTERS or (begun and not touches and letter.isdigit()):
                continue
            way, following = begun + letter, node.next()
            if way in following.begun:
                grown[_Growing(node, way, letters + 1)] = None
            heard = following.heard.get(sound, ()) if sound is not None and not begun else ()
            for child in (*following.written.get(way, ()), *heard):
                if child.children:
                    grown[_Growing(child, "", letters + 1)] = None
                for rule in child.rules:
                    ends[_Ending(letters + 1, rule)] = None
        if not grown and not ends:
            return self.nothing
        key = (*grown, *ends)
        made = self._states.get(key)
        if made is None:
            made = self._states[key] = State(tuple(grown), tuple(ends))
        return made


def _first_letters(following: Iterable[_Next]) -> list[str]:
    """Letters with which a keyword may begin, but for Latin ones."""
    letters: set[str] = set()
    for one in following:
        letters.update(way[0] for way in one.written)
        letters.update(as_sounds(one.heard))
    return sorted(letter for letter in letters if not letter.isascii())


def _beginnings(roots: Iterable[_Next]) -> list[str]:
    """Latin letters at the start of a word, before what another character may begin with."""
    after: dict[str, set[str]] = defaultdict(set)
    for root in roots:
        for way, children in root.written.items():
            if way.isascii():
                further = {one[0] for child in children for one in child.next().written}
                after[way.rstrip(TONES) or way].update(filter(str.isascii, further))
    return [
        f"{first}{not_after(first, AS_WRITTEN)}{_APART}{GOES_ON}{_further(first, after)})"
        for first in sorted({way[0] for way in after})
    ]


def _further(begun: str, after: dict[str, set[str]]) -> str:
    """Ways to go on."""
    ways = [
        f"{one}{_APART}(?:\\Z|{_further(begun + one, after)})" for one in _letters(begun, after)
    ]
    if begun in after:
        ways.append(f"[{TONES}]?{_APART}(?:\\Z|[\x80-\U0010ffff{''.join(sorted(after[begun]))}])")
    return "|".join(ways)


def _letters(begun: str, after: Iterable[str]) -> list[str]:
    longer = (way for way in after if way.startswith(begun) and way != begun)
    return sorted({way[len(begun)] for way in longer})


_MOST_CHARACTERS = MOST_LETTERS * (1 + MOST_SEPARATORS)
_LEAST_APART = 3
"""Letters between which clause ends may stand, where none touch."""


class MixedScan(LettersApart):
    """One text's way through the states."""

    def __init__(self, keywords: MixedKeywords) -> None:
        super().__init__(MOST_LETTERS)
        self._keywords = keywords
        self._begun = keywords.begins.search
        self._state = keywords.nothing

    def feed(self, window: ShadowWindow, found: list[Found], *, finished: bool) -> int:
        """As `KeywordScan.feed`."""
        end, at, text = window.end, self._at - window.start, window.text
        self._at = end
        length = len(text)
        if length > _MOST_CHARACTERS and self._state is self._keywords.nothing and text.isascii():
            # What counts has another letter, beyond the end, and is no longer than that.
            at = max(at, length - _MOST_CHARACTERS)
        while at < length:
            if not self._state.growing and not self._awaiting_end:
                begun = self._begun(text, at)
                if begun is None:
                    return end
                at = begun.start()
                self._begin_behind(text, at)
            at = self._read_on(window, at, found)
        if finished:
            self._decide_awaiting(found, touched=False)
            return end
        letters = self._state.letters
        growing_at = self._places[-letters] if letters else end
        return min([growing_at, *(start for start, _, _ in self._awaiting_end)])

    def _read_on(self, window: ShadowWindow, at: int, found: list[Found]) -> int:
        """Read until nothing is growing; return how far."""
        keywords, places, start, text = self._keywords, self._places, window.start, window.text
        state, awaiting = self._state, self._awaiting_end
        for at in range(at, len(text)):  # noqa: B020
            letter = text[at]
            kind = KINDS[letter]
            if kind <= CLAUSE_END:
                if awaiting:
                    self._decide_awaiting(found, touched=False)
                self._gap += 1
                self._clause_in_gap |= kind == CLAUSE_END
                if self._gap > MOST_SEPARATORS:
                    state = keywords.nothing
            else:
                touches = not self._gap and kind == SPACED == self._last_kind
                if awaiting:
                    self._decide_awaiting(found, touched=touches)
                if self._gap:
                    self._end_gap(start + at)
                else:
                    self._touching = start + at
                self._last_kind = kind
                places.append(start + at)
                known = state.after_touching if touches else state.after_any
                state = known.get(letter) or keywords.step(state, letter, touches=touches)
                if state.ends:
                    self._occurrences(window, state, found)
            if not state.growing:
                break
        self._state = state
        return at + 1

    def _occurrences(self, window: ShadowWindow, state: State, found: list[Found]) -> None:
        """The keywords that end with the last letter."""
        for letters, rule in state.ends:
            places = [*islice(self._places, len(self._places) - letters, None)]
            start, end = places[0], places[-1] + 1
            apart = letters >= _LEAST_APART and self._touching <= start
            if (self._clause_before <= start or apart) and _counts(map(window.character, places)):
                bounded = self._last_kind == SPACED
                (self._awaiting_end if bounded else found).append(Found(start, end, rule))


def _counts(written: Iterable[str]) -> bool:
    """Whether something is no Latin letter, and not just one is."""
    kinds = [KINDS[letter] for letter in written if not letter.isdigit()]
    return SPACED not in kinds or (kinds.count(SPACED) > 1 and len(set(kinds)) > 1)
