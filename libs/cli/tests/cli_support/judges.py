"""Judges of tests: their files, what an honest one says, and answers that people labelled."""

import json
from pathlib import Path

from cli_support.teachers import TeacherServer

RUBRIC = "An answer is good if it says the right thing."


def answer_in(prompt: str) -> str:
    """The answer that a prompt asks about."""
    return prompt.partition("ANSWER TO GRADE]\n")[2].rpartition(" END OF ANSWER TO GRADE]")[0]


def sound(prompt: str) -> str:
    """The label of an honest judge, that follows nothing that an answer says."""
    return json.dumps({"label": "good" if answer_in(prompt).startswith("right") else "bad"})


def write_judge(folder: Path, server: TeacherServer, rubric: str = RUBRIC, more: str = "") -> Path:
    """Of the labels good and bad."""
    file = folder / "judge.yaml"
    file.write_text(
        f"name: facts\nmodel: big\nurl: {server.url}\nat_once: 1\nlabels: {{good: 1, bad: 0}}\n"
        f"rubric: {rubric}\n{more}",
        encoding="utf-8",
    )
    return file


def references(folder: Path, count: int = 30, wrong: int = 0) -> Path:
    """Answers with labels, the first of which people saw otherwise than the judge does."""
    file = folder / "references.jsonl"
    rows = []
    for number in range(count):
        is_right = number % 2 == 0
        label = "good" if is_right != (number < wrong) else "bad"
        rows.append({"answer": f"{'right' if is_right else 'wrong'} {number}", "label": label})
    file.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return file
