"""Write conversations with assistants of libraries that do not exist, each about notes of its own.

    python examples/instruction-chat/make_rows.py OUT.jsonl [--seed 7]

The notes stand in the system message, and no two rows have the same. So no answer can be known
from another row: it is copied from the notes, put together of two of them, decided or computed by
one, or it is that they do not say. The same seed gives the same bytes.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROWS = 480
NOTES = range(5, 9)
SYSTEM = "You answer for {place} Library, by these notes alone.\n{notes}"
UNKNOWN = "The notes do not say that. Please ask at the desk."
FIRST = (
    *("Alder", "Birch", "Brook", "Cold", "Cross", "Dun", "East", "Elm", "Fair", "Fern", "Grey"),
    *("Hart", "High", "Kings", "Lang", "Marsh", "North", "Oak", "Red", "Stone", "West", "Wind"),
)
SECOND = ("bridge", "bury", "dale", "field", "ford", "gate", "ham", "hill", "ley", "stead", "wick")
OPENINGS = ("", "", "Hi! ", "Excuse me, ", "A question: ", "Hello, ")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MINUTES = ("00", "15", "30", "45")
OPENING_HOURS, CLOSING_HOURS, TEA_HOURS = range(7, 11), range(16, 22), range(13, 18)
PLACES = (
    *("beside the main door", "behind the car park", "next to the bicycle stands"),
    *("under the clock", "at the bus stop", "opposite the town hall", "by the side gate"),
)


@dataclass(frozen=True)
class Fact:
    """One sort of note, how it is asked for, and how it is answered."""

    note: str
    questions: tuple[str, ...]
    answer: str
    draw: Callable[[random.Random], str]


def _times(hours: Sequence[int]) -> Callable[[random.Random], str]:
    return lambda choice: f"{choice.choice(hours)}:{choice.choice(MINUTES)}"


def _numbers(least: int, most: int) -> Callable[[random.Random], str]:
    return lambda choice: str(choice.randint(least, most))


def _one_of(values: Sequence[str]) -> Callable[[random.Random], str]:
    return lambda choice: choice.choice(values)


FACTS = {
    "opens": Fact(
        "opens: {}",
        ("when do you open?", "how early can I come in?", "what time do you open?"),
        "We open at {}.",
        _times(OPENING_HOURS),
    ),
    "closes": Fact(
        "closes: {}",
        ("when do you close?", "how late can I stay?", "until when are you there?"),
        "We close at {}.",
        _times(CLOSING_HOURS),
    ),
    "closed": Fact(
        "closed on: {}",
        ("on which day are you closed?", "when is your day of rest?"),
        "We are closed on {}s.",
        _one_of(DAYS),
    ),
    "card": Fact(
        "card: {} euros a year",
        ("what does a card cost?", "how much is membership?", "is there a fee to join?"),
        "A card costs {} euros a year.",
        _numbers(6, 48),
    ),
    "books": Fact(
        "books: {} days",
        ("how long may I keep a book?", "what is the loan period of books?"),
        "Books are lent for {} days.",
        _numbers(12, 45),
    ),
    "films": Fact(
        "films: {} days",
        ("how long may I keep a film?", "for how long do you lend films?"),
        "Films are lent for {} days.",
        _numbers(2, 11),
    ),
    "limit": Fact(
        "at most: {} things at a time",
        ("how much can I borrow at once?", "is there a limit of loans?"),
        "You may have {} things at a time.",
        _numbers(4, 40),
    ),
    "fine": Fact(
        "late: {} cents a day",
        ("what do I pay when I am late?", "how high is the fine?"),
        "Late things cost {} cents a day.",
        _numbers(5, 60),
    ),
    "copies": Fact(
        "copies: {} cents a page",
        ("what does a copy cost?", "how much is a page on the copier?"),
        "A copy costs {} cents.",
        _numbers(3, 30),
    ),
    "rooms": Fact(
        "study rooms: {}",
        ("how many study rooms are there?", "do you have study rooms?"),
        "There are {} study rooms.",
        _numbers(2, 19),
    ),
    "box": Fact(
        "return box: {}",
        ("where is the return box?", "where do I leave books at night?"),
        "The return box is {}.",
        _one_of(PLACES),
    ),
    "tea": Fact(
        "tea room: until {}",
        ("until when can I get a tea?", "how long is the tea room open?"),
        "The tea room is open until {}.",
        _times(TEA_HOURS),
    ),
}


def copied(notes: dict[str, str], choice: random.Random) -> tuple[str, str]:
    """A question about one note."""
    return _asked(choice.choice([*notes]), notes, choice)


def combined(notes: dict[str, str], choice: random.Random) -> tuple[str, str]:
    """A question about two notes, answered in the order in which it asks."""
    one, two = (_asked(name, notes, choice) for name in choice.sample([*notes], 2))
    return f"{one[0].rstrip('?')}, and {two[0]}", f"{one[1]} {two[1]}"


def unsaid(notes: dict[str, str], choice: random.Random) -> tuple[str, str]:
    """A question about what no note says."""
    name = choice.choice([name for name in FACTS if name not in notes])
    return choice.choice(FACTS[name].questions), UNKNOWN


def decided(notes: dict[str, str], choice: random.Random) -> tuple[str, str]:
    """Whether it is open, on a day or at an hour."""
    if choice.random() < 0.5 and "closed" in notes:
        rest = notes["closed"]
        day = rest if choice.random() < 0.5 else choice.choice([it for it in DAYS if it != rest])
        said = "No, we are closed" if day == rest else "Yes, we are open"
        return f"are you open on {day}?", f"{said} on {day}s."
    asked, closes = _times(CLOSING_HOURS)(choice), notes["closes"]
    said = "Yes, we close" if _minutes(asked) < _minutes(closes) else "No, we close"
    return f"can I still come at {asked}?", f"{said} at {closes}."


def computed(notes: dict[str, str], choice: random.Random) -> tuple[str, str]:
    """What some copies cost."""
    count = choice.randint(2, 5)
    cents = count * int(notes["copies"])
    return f"what do {count} copies cost?", f"{count} copies cost {cents} cents."


SORTS: tuple[tuple[Callable[..., tuple[str, str]], int, tuple[str, ...]], ...] = (
    (copied, 35, ()),
    (combined, 25, ()),
    (unsaid, 15, ()),
    (decided, 15, ("closes",)),
    (computed, 10, ("copies",)),
)
"""How a question comes about, how many in a hundred are so, and which notes it needs."""


def conversations(choice: random.Random) -> Iterator[dict[str, object]]:
    """Rows, each with notes that no other has; a third of them with a question before."""
    seen: set[str] = set()
    while len(seen) < ROWS:
        [(ask, _, needed)] = choice.choices(SORTS, [share for _, share, _ in SORTS])
        notes = _notes(needed, choice)
        system = SYSTEM.format(
            place=choice.choice(FIRST) + choice.choice(SECOND),
            notes="\n".join(FACTS[name].note.format(value) for name, value in notes.items()),
        )
        if system in seen:
            continue
        messages = [{"role": "system", "content": system}]
        if len(seen) % 3 == 0:
            messages += _turn(*copied(notes, choice), choice)
        seen.add(system)
        yield {"messages": [*messages, *_turn(*ask(notes, choice), choice)]}


def _notes(needed: Sequence[str], choice: random.Random) -> dict[str, str]:
    others = [name for name in FACTS if name not in needed]
    names = [*needed, *choice.sample(others, choice.choice(NOTES) - len(needed))]
    choice.shuffle(names)
    return {name: FACTS[name].draw(choice) for name in names}


def _asked(name: str, notes: dict[str, str], choice: random.Random) -> tuple[str, str]:
    return choice.choice(FACTS[name].questions), FACTS[name].answer.format(notes[name])


def _minutes(time: str) -> int:
    hour, minute = time.split(":")
    return 60 * int(hour) + int(minute)


def _turn(question: str, answer: str, choice: random.Random) -> list[dict[str, str]]:
    opening = choice.choice(OPENINGS)
    asked = opening + question if opening else question[0].upper() + question[1:]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def main(arguments: list[str]) -> int:
    """Write the file; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--seed", type=int, default=7, help="another one draws other rows")
    given = parser.parse_args(arguments)
    rows = conversations(random.Random(given.seed))
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    given.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
