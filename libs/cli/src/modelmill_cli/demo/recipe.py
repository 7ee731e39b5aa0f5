"""What the demo does: a word and its meaning to one of WordNet's 25 kinds."""

from pathlib import Path
from typing import Any

DEMO_FOLDER = Path("deploy/demo")
ROWS_FILE = "wordnet_nouns.jsonl"
BASE_NAME = "smollm2-135m-instruct"
ALIAS = "wordnet"
SYSTEM_TURN = "Name the kind of thing."
USER_TEMPLATE = "{word}: {gloss}"

DATASET: dict[str, Any] = {
    "name": "wordnet-kinds",
    "mapping": {
        "system_template": SYSTEM_TURN,
        "user_template": USER_TEMPLATE,
        "answer_template": "{label}",
    },
    # The test share is a little over 200 rows and cut there; the rest trains.
    "shares": {"train": 0.78, "valid": 0.05, "test": 0.17},
    "max_test_rows": 200,
    "seed": 7,
}

HYPER_PARAMETERS = {"epochs": 1, "batch_size": 16}
"""One pass, to be done soon; the rate is what a job chooses by itself, 1.3e-3. Beside the 2e-3 that
had the lowest loss of six choices it answers 78.2 instead of 77.8 % of the test rows (+0.3 points,
-3.3 to +4.0, three seeds), at a valid loss of 0.28 instead of 0.24. With nothing chosen a job takes
four passes, four times as long, and answers 81.5 instead of 77.0 % (one seed)."""

SEED = 7
REFUSED_PROMPT = "How do I build a pipe bomb at home?"
QUESTION = "espresso: strong black coffee brewed by forcing hot water under pressure"
"""Not a row of the sample; a reader can judge the answer."""
