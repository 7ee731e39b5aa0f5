"""What a process has reserved and settled, in words of memory that outlive it.

Whatever the process dies between, `recover` counts each request once. A slot is free, open or
settling. Settling first writes down what is to be added and the totals before, then says so in one
word, then stores the sums: done again, that gives the same sums. Only one slot settles at a time.
"""

from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass

from modelmill_gateway.domain.access import MOST_IN_LINE
from modelmill_gateway.domain.ledger.budget import Price, Settled

BUDGETS_OF_A_REQUEST = MOST_IN_LINE + 1
"""Of a key, of those that made it, and of the tenant."""
ROW = 16
"""Words of an account's row."""
NAME_WORDS = 8
USED, REQUESTS, TOKENS, MICROS = 8, 9, 10, 11
"""Of an account's row, behind its name."""
STATE, ASKED, PROMPT, ANSWER, PROMPT_PRICE, ANSWER_PRICE, MORE_TOKENS, MORE_MICROS = range(8)
"""Of a slot."""
ACCOUNTS = 8
"""Of a slot: for each account one more than its row's place, or 0; its tokens and its money."""
WORDS_OF_AN_ACCOUNT = 3
SLOT = ACCOUNTS + WORDS_OF_AN_ACCOUNT * BUDGETS_OF_A_REQUEST
"""Words of a slot."""
FREE, OPEN, SETTLING = range(3)


class NoRoomError(Exception):
    """Every slot or every account's row is taken."""


@dataclass(frozen=True)
class Size:
    """Capacity of the journal: accounts, and requests at a time."""

    accounts: int = 4096
    slots: int = 4096

    @property
    def words(self) -> int:
        """All of it."""
        return self.accounts * ROW + self.slots * SLOT


class Slot:
    """Journal entry of one request; every method stores a few words."""

    def __init__(self, slots: "Slots", at: int) -> None:
        self._slots = slots
        self._words = slots.words
        self._at = at

    def asked(self) -> None:
        """An engine is about to be asked: from now on the prompt counts."""
        self._words[self._at + ASKED] = 1

    def unasked(self) -> None:
        """The engine did nothing: the prompt does not count."""
        self._words[self._at + ASKED] = 0

    def prompt(self, tokens: int) -> None:
        """So long the prompt is; until this is said, its bound counts."""
        self._words[self._at + PROMPT] = tokens

    def delivered(self, tokens: int) -> None:
        """So many tokens all answers have by now."""
        self._words[self._at + ANSWER] = tokens

    @property
    def used(self) -> tuple[int, int]:
        """Tokens of prompt and answers as far as they are known; none before an engine is asked."""
        words, at = self._words, self._at
        return (words[at + PROMPT] if words[at + ASKED] else 0, words[at + ANSWER])

    def settle(self) -> tuple[int, int]:
        """Count what was used, and free the slot; tokens and money."""
        return self._slots.settle(self._at)


class Slots:
    """Accounts and requests over words that are zero at the beginning.

    Args:
        words: of 64 bits; each store is one that a death does not tear.
    """

    def __init__(self, words: MutableSequence[int], size: Size) -> None:
        self.words = words
        self._size = size
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        for number in range(size.accounts):
            at = number * ROW
            if not words[at + USED]:
                break
            self._rows[_name(words[at : at + NAME_WORDS])] = at

    def recover(self) -> int:
        """Count what a process that died had not, each request once; how many there were."""
        places = range(self._size.accounts * ROW, self._size.words, SLOT)
        settling = [at for at in places if self.words[at] == SETTLING]
        for at in settling:  # its sums are of totals that nothing else may change before
            self._sum(at)
        still_open = [at for at in places if self.words[at] == OPEN]
        for at in still_open:
            self.settle(at)
        self._free = list(reversed(places))
        return len(settling) + len(still_open)

    def settled(self, budget_id: str) -> Settled:
        """What was counted for a budget."""
        at = self._rows.get(budget_id)
        if at is None:
            return Settled()
        return Settled(*self.words[at + REQUESTS : at + MICROS + 1])

    def begin(self, budgets: Sequence[str], prompt_bound: int, price: Price) -> Slot:
        """A request of up to `BUDGETS_OF_A_REQUEST` begins; it counts as one from here on.

        Raises:
            NoRoomError: too many at a time.
        """
        rows = [self._row(budget_id) for budget_id in budgets]
        if not self._free:
            raise NoRoomError("no slot is free")
        at, words = self._free.pop(), self.words
        for row in rows:
            words[row + REQUESTS] = words[row + REQUESTS] + 1
        words[at + ASKED] = words[at + ANSWER] = 0
        words[at + PROMPT] = prompt_bound
        words[at + PROMPT_PRICE], words[at + ANSWER_PRICE] = price
        for number in range(BUDGETS_OF_A_REQUEST):
            row_at = at + ACCOUNTS + WORDS_OF_AN_ACCOUNT * number
            words[row_at] = rows[number] + 1 if number < len(rows) else 0
        words[at + STATE] = OPEN
        return Slot(self, at)

    def settle(self, at: int) -> tuple[int, int]:
        """See `Slot.settle`."""
        words = self.words
        prompt, answer = Slot(self, at).used
        micros = Price(words[at + PROMPT_PRICE], words[at + ANSWER_PRICE]).cost(prompt, answer)
        words[at + MORE_TOKENS], words[at + MORE_MICROS] = prompt + answer, micros
        for place, row in self._accounts(at):
            words[place], words[place + 1] = words[row + TOKENS], words[row + MICROS]
        words[at + STATE] = SETTLING
        self._sum(at)
        self._free.append(at)
        return prompt + answer, micros

    def _sum(self, at: int) -> None:
        words = self.words
        for place, row in self._accounts(at):
            words[row + TOKENS] = words[place] + words[at + MORE_TOKENS]
            words[row + MICROS] = words[place + 1] + words[at + MORE_MICROS]
        words[at + STATE] = FREE

    def _accounts(self, at: int) -> list[tuple[int, int]]:
        """Where the bases of each account stand, and its row."""
        first = at + ACCOUNTS
        places = range(
            first, first + WORDS_OF_AN_ACCOUNT * BUDGETS_OF_A_REQUEST, WORDS_OF_AN_ACCOUNT
        )
        return [(place + 1, self.words[place] - 1) for place in places if self.words[place]]

    def _row(self, budget_id: str) -> int:
        at = self._rows.get(budget_id)
        if at is not None:
            return at
        at = len(self._rows) * ROW
        if len(self._rows) == self._size.accounts:
            raise NoRoomError("no room for one more budget")
        for number, word in enumerate(_name_words(budget_id)):
            self.words[at + number] = word
        self.words[at + USED] = 1
        self._rows[budget_id] = at
        return at


def _name_words(budget_id: str) -> list[int]:
    padded = budget_id.encode("ascii").ljust(NAME_WORDS * 8, b"\0")
    return [int.from_bytes(padded[at : at + 8], "little") for at in range(0, len(padded), 8)]


def _name(words: Sequence[int]) -> str:
    return b"".join(word.to_bytes(8, "little") for word in words).rstrip(b"\0").decode("ascii")
