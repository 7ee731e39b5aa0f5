"""Write conversations with the assistant of a library that does not exist.

    python examples/instruction-chat/make_rows.py OUT.jsonl [--seed 7]

Each fact is asked in several wordings, a third of the time behind another question. The same seed
gives the same bytes.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SYSTEM = "You answer for Brookfield Library, in at most two sentences."
OPENINGS = ("", "Hi! ", "Excuse me, ", "A question: ", "Hello, ")
ROWS = 360


@dataclass(frozen=True)
class Fact:
    """An answer, and how it is asked for."""

    answer: str
    wordings: tuple[str, ...]


FACTS = (
    Fact(
        "We open at nine from Monday to Saturday. On Sundays we are closed.",
        (
            "when do you open?",
            "what are your opening hours?",
            "are you open on Sunday?",
            "how early can I come in?",
        ),
    ),
    Fact(
        "We close at seven, and at four on Saturdays. Loans are booked until ten minutes before.",
        (
            "when do you close?",
            "how late are you open?",
            "until when can I borrow something today?",
            "what time do you close on Saturday?",
        ),
    ),
    Fact(
        "You may keep a book for four weeks. You can renew it twice unless somebody waits for it.",
        (
            "how long may I keep a book?",
            "what is the loan period of books?",
            "for how many weeks can I borrow a novel?",
            "when must a book be back?",
        ),
    ),
    Fact(
        "Films and games are lent for one week. They cannot be renewed.",
        (
            "how long may I keep a film?",
            "for how long do you lend games?",
            "can I renew a DVD?",
            "what is the loan period of films?",
        ),
    ),
    Fact(
        "A late book costs ten cents a day, at most three euros. Children pay nothing.",
        (
            "what does a late book cost?",
            "how high is the fine?",
            "I am late with a book, what do I pay?",
            "do children pay fines?",
        ),
    ),
    Fact(
        "A card costs twelve euros a year. Below eighteen it is free.",
        (
            "what does a card cost?",
            "how much is membership?",
            "is there a fee to join?",
            "do students below eighteen pay for a card?",
        ),
    ),
    Fact(
        "Bring a passport and a letter with your address. The card is ready in five minutes.",
        (
            "what do I need to get a card?",
            "how do I join?",
            "which papers must I bring to register?",
            "how long does it take to get a card?",
        ),
    ),
    Fact(
        "Tell the desk at once, and we block the card. A new one costs three euros.",
        (
            "I lost my card, what now?",
            "my card was stolen",
            "how do I replace a card?",
            "what does a new card cost when the old one is lost?",
        ),
    ),
    Fact(
        "You may have fifteen things at a time. Of films and games five.",
        (
            "how many books can I borrow?",
            "is there a limit of loans?",
            "how many films may I take home at once?",
            "what is the most that I can borrow?",
        ),
    ),
    Fact(
        "Reserve it in the catalogue or at the desk. We write to you when it is here.",
        (
            "a book is lent out, can I reserve it?",
            "how do I reserve something?",
            "will you tell me when a book is back?",
            "can I get in line for a novel?",
        ),
    ),
    Fact(
        "A reserved book waits for you for seven days. It stands on the shelf behind the desk.",
        (
            "how long do you keep a reserved book?",
            "where do I find what I reserved?",
            "until when must I fetch my reservation?",
            "for how many days is a reservation held?",
        ),
    ),
    Fact(
        "Eight study rooms are on the second floor. Book one at the desk for up to three hours.",
        (
            "do you have study rooms?",
            "where can we work as a group?",
            "how do I book a room?",
            "for how long can I have a study room?",
        ),
    ),
    Fact(
        "Copies cost ten cents, in colour thirty. The machine is beside the lift and takes coins.",
        (
            "can I make copies?",
            "what does a copy cost?",
            "where is the copying machine?",
            "how much is a page in colour?",
        ),
    ),
    Fact(
        "Printing costs ten cents a page. Send the file from any of our computers.",
        (
            "can I print here?",
            "what does printing cost?",
            "how do I print a file?",
            "where can I print a letter?",
        ),
    ),
    Fact(
        "The wireless network is called Brookfield, and needs no password. It ends when we close.",
        (
            "do you have wifi?",
            "what is the password of the wireless network?",
            "how do I get online?",
            "which network do visitors use?",
        ),
    ),
    Fact(
        "Stories are read on Wednesdays at four, for children from three to six. No booking.",
        (
            "is there something for small children?",
            "when is story time?",
            "do I have to book for story time?",
            "for which age are the stories?",
        ),
    ),
    Fact(
        "The reading circle meets on the first Tuesday of a month at six. New readers are welcome.",
        (
            "is there a book club?",
            "when does the reading circle meet?",
            "can anyone join the reading circle?",
            "do people meet here to talk about books?",
        ),
    ),
    Fact(
        "Give us the title, and we ask other libraries. It takes two weeks and costs two euros.",
        (
            "you do not have a book that I need",
            "can you get a book from elsewhere?",
            "what does a loan from another library cost?",
            "how long does a loan from another library take?",
        ),
    ),
    Fact(
        "We take books that are clean and not older than five years. Bring them on a Thursday.",
        (
            "do you take old books?",
            "can I give you my books?",
            "on which day can I bring books that I no longer want?",
            "which books do you accept as gifts?",
        ),
    ),
    Fact(
        "The return box is beside the main door, at all hours. Films go to the desk.",
        (
            "can I return a book at night?",
            "where is the return box?",
            "you are closed, where do I leave my books?",
            "may films go into the return box?",
        ),
    ),
    Fact(
        "There is a lift at the east door, and a toilet for wheelchairs on each floor.",
        (
            "can I come with a wheelchair?",
            "is there a lift?",
            "where is the toilet for wheelchairs?",
            "is the building accessible?",
        ),
    ),
    Fact(
        "Electronic books are at the page of the catalogue. Sign in with the number of your card.",
        (
            "do you have electronic books?",
            "how do I borrow an e-book?",
            "where do I sign in for e-books?",
            "can I read on my tablet?",
        ),
    ),
    Fact(
        "Pay for the book at the desk, at its price. Found within a month, we pay it back.",
        (
            "I lost a book",
            "what happens when a book is lost?",
            "do I have to pay for a book that I cannot find?",
            "I found a lost book again, do I get my money back?",
        ),
    ),
    Fact(
        "The café on the ground floor has soup until five. Drinks with a lid may come along.",
        (
            "can I eat here?",
            "is there a café?",
            "may I bring a coffee to my seat?",
            "until when is there soup?",
        ),
    ),
)


def conversations(choice: random.Random) -> Iterator[dict[str, object]]:
    """Every wording with openings that are drawn, shuffled."""
    asked = [
        (fact, f"{opening}{wording if opening else wording[0].upper() + wording[1:]}")
        for fact in FACTS
        for wording in fact.wordings
        for opening in choice.sample(OPENINGS, 4)
    ]
    choice.shuffle(asked)
    for number, (fact, question) in enumerate(asked[:ROWS]):
        messages = [{"role": "system", "content": SYSTEM}]
        if number % 3 == 0:
            before, first = choice.choice(asked)
            if before is not fact:
                messages += _turn(first, before.answer)
        yield {"messages": [*messages, *_turn(question, fact.answer)]}


def _turn(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


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
