# SPDX-License-Identifier: Apache-2.0
"""Says whether this runtime reads prompts as training did, and how fast it answers.

    python bench.py [--check] [--rounds 6] [--threads 0]

One greedy request in flight. Prints one line of JSON; ends with 1 where a prompt is read otherwise.
"""

import argparse
import json
import statistics
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROMPT, NEW_TOKENS = "Tell me about the history of ships.", 64


def main() -> int:
    """Check, and measure unless told not to."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="measure nothing")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=0, help="0 for all cores")
    given = parser.parse_args()
    model: Any = import_module("run").Model(given.threads)
    prompts = model.facts["prompts"]
    otherwise = [it["name"] for it in prompts if model.engine.encode(it["messages"]) != it["ids"]]
    found: dict[str, Any] = {"prompts": len(prompts), "read_otherwise": otherwise}
    if not given.check:
        found |= measured(model, given.rounds)
    print(json.dumps(found))
    return 1 if otherwise else 0


def measured(model: Any, rounds: int) -> dict[str, Any]:
    """Rates of answers of `NEW_TOKENS` tokens, none of which ends one; the first round warms up."""
    prompt = model.engine.encode([{"role": "user", "content": PROMPT}])
    room = min(NEW_TOKENS, model.facts["context_tokens"] - len(prompt))
    first, rates = [], []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        tokens = model.engine.generate(prompt, [], max_tokens=room, temperature=0.0)
        next(tokens)
        first.append(time.perf_counter() - began)
        rates.append((1 + sum(1 for _ in tokens)) / (time.perf_counter() - began))
    files = [file for file in (HERE / "model").rglob("*") if file.is_file()]
    return {
        "tokens_per_s": round(statistics.median(rates[1:]), 2),
        "tokens_per_s_range": [round(min(rates[1:]), 2), round(max(rates[1:]), 2)],
        "first_token_ms": round(1000 * statistics.median(first[1:]), 2),
        "prompt_tokens": len(prompt),
        "model_mb": round(sum(file.stat().st_size for file in files) / 1e6, 2),
        "modules": sorted({"torch", "transformers"} & sys.modules.keys()),
    }


if __name__ == "__main__":
    sys.exit(main())
