"""Keywords by an Aho-Corasick automaton that also knows how much of a keyword may be growing."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from modelmill_guard.normalise import WORD_CHARACTERS, ShadowWindow, is_word_character
from modelmill_guard.reading import HYPHENED, Reading
from modelmill_guard.remembered import LONGEST_REMEMBERED, remember
from modelmill_guard.verdict import Found, RuleHead, SeenHead

KEYWORD_ENDS, HEAD_ENDS = 1, 2


class _Keyword(NamedTuple):
    text: str
    length: int
    rule: RuleHead
    starts_word: bool
    """It must not start within a word."""
    ends_word: bool
    """It must not end within a word."""


class KeywordAutomaton:
    """Finds every occurrence of every keyword in one pass; built once, shared by all scans.

    A node stands for a beginning of a keyword. `fallback` leads to the longest proper suffix of it
    that is also one, so that the chain from the current node lists all that may be growing.
    """

    def __init__(
        self,
        keywords: Iterable[tuple[str, RuleHead, bool]],
        heads: Iterable[tuple[str, int, bool]] = (),
        reading: Reading = HYPHENED,
    ) -> None:
        """Build.

        Args:
            keywords: normalised keyword, its rule, whether it may match within words.
            heads: what a pattern's matches begin with, its number, whether at a boundary only.
            reading: by which text and keywords are read.
        """
        self.reading = reading
        self.children: list[dict[str, int]] = [{}]
        self.depth: list[int] = [0]
        self.fallback: list[int] = [0]
        self.keywords: dict[int, list[_Keyword]] = {}
        """By the node at which they end; a list for every node would keep the collector busy."""
        self.next_ending: list[int] = [0]
        """Nearest node on the fallback chain at which a keyword ends; 0 when none does."""
        self.may_start_in_word: list[bool] = [False]
        """Whether some keyword below this node may start within a word."""
        self.begins_head: list[bool] = [False]
        """Whether some head below this node counts at a boundary only."""
        self._heads: dict[int, list[int]] = defaultdict(list)
        """For nodes at which heads end, the numbers of their patterns."""
        self.ends: list[int] = []
        """What ends at this node or on its fallback chain: KEYWORD_ENDS, HEAD_ENDS, both or 0."""
        self.spelled: dict[int, set[str]] = {}
        """For nodes to which other spellings lead too: those with which something begins."""
        self._freely_spelled: set[int] = set()
        self.steps: dict[tuple[int, str], int] = {}
        """Node after a short piece from a node, of pieces in which nothing ended."""
        for keyword, rule, within_words in keywords:
            self._add_keyword(keyword, rule, within_words=within_words)
        for head, pattern, at_boundary in heads:
            self._add_head(head, pattern, at_boundary=at_boundary)
        self._link()

    def _add_head(self, head: str, pattern: int, *, at_boundary: bool) -> None:
        bounded = at_boundary and _is_ascii_word(head[0])
        node = self._add(head, self.reading.alike, at_boundary=bounded)
        self._heads[node].append(pattern)

    def _add_keyword(self, keyword: str, rule: RuleHead, *, within_words: bool) -> None:
        starts_word = not within_words and is_word_character(keyword[0])
        ends_word = not within_words and is_word_character(keyword[-1])
        node = self._add(keyword, self.reading.exact, starts_word=starts_word)
        ending = _Keyword(keyword, len(keyword), rule, starts_word, ends_word)
        self.keywords.setdefault(node, []).append(ending)

    def _add(
        self, text: str, exact: str, *, starts_word: bool = False, at_boundary: bool = False
    ) -> int:
        """Add a text; characters that are `exact` are written as they are, others as they read."""
        node, free = 0, min((text.index(one) for one in exact if one in text), default=len(text))
        for length, character in enumerate(self.reading.read(text), 1):
            node = self.children[node].get(character) or self._new_node(node, character)
            if length <= free:
                self._freely_spelled.add(node)
            else:
                self.spelled.setdefault(node, set()).add(text[:length])
            self.may_start_in_word[node] |= not starts_word and not at_boundary
            self.begins_head[node] |= at_boundary
        return node

    def _new_node(self, parent: int, character: str) -> int:
        node = len(self.children)
        self.children[parent][character] = node
        self.children.append({})
        self.depth.append(self.depth[parent] + 1)
        self.fallback.append(0)
        self.next_ending.append(0)
        self.may_start_in_word.append(False)
        self.begins_head.append(False)
        return node

    def _link(self) -> None:
        """Set the fallbacks, breadth first, so that each finds shallower ones in place."""
        for node in self.spelled.keys() & self._freely_spelled:
            del self.spelled[node]
        self._freely_spelled.clear()
        queue = deque(self.children[0].values())
        self.ends = [KEYWORD_ENDS * (node in self.keywords) for node in range(len(self.children))]
        for node in self._heads:
            self.ends[node] |= HEAD_ENDS
        while queue:
            node = queue.popleft()
            fallback = self.fallback[node]
            ends = fallback in self.keywords
            self.ends[node] |= self.ends[fallback]
            self.next_ending[node] = fallback if ends else self.next_ending[fallback]
            for character, child in self.children[node].items():
                self.fallback[child] = self.step(fallback, character)
                queue.append(child)

    def step(self, node: int, character: str) -> int:
        """The node after one more character."""
        children = self.children
        while character not in children[node]:
            if not node:
                return 0
            node = self.fallback[node]
        return children[node][character]

    def growing(self, node: int) -> int:
        """The longest suffix of what `node` stands for that more characters can complete."""
        while node and not self.children[node]:
            node = self.fallback[node]
        return node

    def heads_ending_at(self, node: int) -> Iterator[tuple[int, int]]:
        """Pattern and length of every head that ends at `node`."""
        while self.ends[node] & HEAD_ENDS:
            for pattern in self._heads.get(node, ()):
                yield pattern, self.depth[node]
            node = self.fallback[node]

    def ending_at(self, node: int) -> Iterator[_Keyword]:
        """Every keyword that ends at `node`."""
        while node:
            yield from self.keywords.get(node, ())
            node = self.next_ending[node]


class KeywordScan:
    """One text's way through an automaton."""

    def __init__(self, automaton: KeywordAutomaton, at: int = 0) -> None:
        """Read from `at` on; what lies before may be looked at."""
        self._automaton = automaton
        self._node = 0
        self._at = at
        self.head_ends: dict[int, int] = {}
        """Nodes at which heads end, each with where it was first met by the last `feed`."""
        self._awaiting_end: list[Found] = []
        """Whole-word keywords that ended at the last character: the next one decides."""

    def feed(self, window: ShadowWindow, found: list[Found], *, finished: bool) -> int:
        """Read what the window has gained; add the occurrences that are now certain to `found`.

        Returns:
            The first position at which a keyword may be growing; the end when none is.
        """
        if self.head_ends:
            self.head_ends.clear()
        fresh = self._automaton.reading.read(window.text[self._at - window.start :])
        if self._awaiting_end or not fresh or not self._step(fresh):
            self._read(window, fresh, found)
        self._at = end = window.end
        if finished:
            self._decide_awaiting(found, inside_word=False)
            return end
        return self._frontier(window) if self._node else end

    def _step(self, fresh: str) -> bool:
        """Go on by a piece in which nothing ends, as is known of it; False when it is not."""
        automaton, node, first = self._automaton, self._node, fresh[0]
        children = automaton.children
        while (child := children[node].get(first)) is None and node:
            node = automaton.fallback[node]
        known = automaton.steps.get((child or 0, fresh[1:]))
        if known is None:
            return False
        self._node = known
        return True

    def _read(self, window: ShadowWindow, fresh: str, found: list[Found]) -> None:
        automaton, node, awaiting = self._automaton, self._node, self._awaiting_end
        children, fallback, ends = automaton.children, automaton.fallback, automaton.ends
        is_quiet = not awaiting
        # `automaton.step` written out: this loop sees every character of every text.
        for position, character in enumerate(fresh, self._at):
            if awaiting:
                within = is_word_character(window.character(position))
                self._decide_awaiting(found, inside_word=within)
            while (child := children[node].get(character)) is None and node:
                node = fallback[node]
            node = child or 0
            if what := ends[node]:
                is_quiet = False
                if what & KEYWORD_ENDS:
                    self._occurrences(window, node, position + 1, found)
                if what & HEAD_ENDS:
                    self.head_ends.setdefault(node, position + 1)
        if is_quiet and 0 < len(fresh) <= LONGEST_REMEMBERED:
            remember(automaton.steps, (automaton.step(self._node, fresh[0]), fresh[1:]), node)
        self._node = node

    def seen_heads(self) -> list[SeenHead]:
        """Heads in what the last `feed` read: for each, the first place at least."""
        heads = self._automaton.heads_ending_at
        return [
            SeenHead(pattern, end - length)
            for node, end in self.head_ends.items()
            for pattern, length in heads(node)
        ]

    def _decide_awaiting(self, found: list[Found], *, inside_word: bool) -> None:
        if not inside_word:
            found.extend(self._awaiting_end)
        self._awaiting_end.clear()

    def _occurrences(self, window: ShadowWindow, node: int, end: int, found: list[Found]) -> None:
        automaton = self._automaton
        keywords, next_ending = automaton.keywords, automaton.next_ending
        reading = automaton.reading
        while node:
            for keyword in keywords.get(node, ()):
                start = end - keyword.length
                if keyword.starts_word and not _starts_word(window, start):
                    continue
                written = window.between(start, end)
                if written != keyword.text and not reading.spells(keyword.text, written):
                    continue
                occurrence = Found(start, end, keyword.rule)
                (self._awaiting_end if keyword.ends_word else found).append(occurrence)
            node = next_ending[node]

    def _frontier(self, window: ShadowWindow) -> int:
        automaton, node, end = self._automaton, self._node, window.end
        while node:
            start = end - automaton.depth[node]
            if (
                automaton.may_start_in_word[node]
                or _starts_word(window, start)
                or (automaton.begins_head[node] and _at_boundary(window, start))
            ):
                spelled = automaton.spelled.get(node)
                if spelled is None or window.between(start, end) in spelled:
                    return start
            node = automaton.fallback[node]
        return end


def _starts_word(window: ShadowWindow, start: int) -> bool:
    # What lies before the window was released because no match could start there: it is no start.
    at = start - window.start
    return not WORD_CHARACTERS[window.text[at - 1]] if at > 0 else start == 0


def _at_boundary(window: ShadowWindow, start: int) -> bool:
    """Whether RE2 sees a word boundary before the ASCII word character at `start`."""
    if start == 0:
        return True
    return start > window.start and not _is_ascii_word(window.character(start - 1))


def _is_ascii_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")
