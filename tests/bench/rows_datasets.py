"""The rival of data_prep.rows: the same steps written with Hugging Face `datasets`.

`python -m tests.bench.rows_datasets SOURCE FOLDER`. Load, map (tidy the texts, render the turns),
filter (drop what says the same), map (count tokens), split, write. The steps themselves
are our own functions on both sides, so what is compared is what carries the rows through them.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

import datasets
from modelmill_data_prep.domain.tally import measure_lengths
from modelmill_data_prep.domain.text_form import comparison_key, normalise

SHARES = {"valid": 0.1, "test": 0.1}
SEED = 1


def rendered(row: dict[str, Any]) -> dict[str, Any]:
    """A row as turns."""
    word, gloss, label = (normalise(row[name]) for name in ("word", "gloss", "label"))
    texts = {"system": "Name the kind of thing.", "user": f"{word}: {gloss}", "assistant": label}
    return {"messages": [{"role": role, "content": text} for role, text in texts.items()]}


def main() -> None:
    """Make the dataset."""
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    datasets.disable_progress_bars()
    kind = "csv" if source.suffix == ".csv" else "json"
    rows = datasets.load_dataset(
        kind, data_files=str(source), split="train", cache_dir=str(folder / "cache")
    )
    rows = rows.map(rendered, remove_columns=rows.column_names)
    seen: set[bytes] = set()

    def is_new(row: dict[str, Any]) -> bool:
        text = "\x1e".join(comparison_key(turn["content"]) for turn in row["messages"])
        digest = hashlib.sha256(text.encode()).digest()
        fresh = digest not in seen
        seen.add(digest)
        return fresh

    rows = rows.filter(is_new)

    def counted(batch: dict[str, Any]) -> dict[str, Any]:
        texts = [
            "\n".join(turn["content"] for turn in messages if turn["role"] != "system")
            for messages in batch["messages"]
        ]
        return {"tokens": [measure.tokens for measure in measure_lengths(texts)]}

    rows = rows.map(counted, batched=True).remove_columns("tokens")
    split = rows.train_test_split(sum(SHARES.values()), seed=SEED)
    rest = split["test"].train_test_split(0.5, seed=SEED)
    for name, part in (("train", split["train"]), ("valid", rest["train"]), ("test", rest["test"])):
        part.to_json(folder / f"{name}.jsonl", force_ascii=False)


if __name__ == "__main__":
    main()
