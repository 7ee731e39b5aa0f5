"""Exported models without Modelmill: what they answer, beside what the gateway answers.

A version is exported by `mill models export`. A process in which no module of Modelmill can be
imported loads the folder with the libraries of its form alone, and answers the same questions
greedily.
"""

import json
import shlex
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.frontdoor_journey import Journey

MOST_TOKENS = 8
BARE = """\
import json, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("modelmill"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
folder, form, questions, most = json.load(sys.stdin)
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
if form.startswith("openvino"):
    from openvino_genai import LLMPipeline

    pipeline = LLMPipeline(folder, "CPU")

    def answer(prompt):
        settings = {"max_new_tokens": most, "do_sample": False, "apply_chat_template": False}
        return pipeline.generate(prompt, **settings)
else:
    if form == "adapter":
        from peft import PeftModel

        base = AutoModelForCausalLM.from_pretrained(f"{folder}/base")
        model = PeftModel.from_pretrained(base, folder)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder)
    model.eval()

    def answer(prompt):
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        made = model.generate(**ids, max_new_tokens=most, do_sample=False)
        return tokenizer.decode(made[0][ids["input_ids"].shape[1] :], skip_special_tokens=True)

answers = []
for each in questions:
    asked = [{"role": "user", "content": each}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    answers.append(answer(prompt).strip())
json.dump(answers, sys.stdout)
"""


@dataclass(frozen=True)
class Exported:
    """A version in one form, and how many of its answers were the gateway's."""

    form: str
    equal: int
    asked: int


def exported(journey: Journey, address: str, questions: Sequence[str]) -> list[Exported]:
    """Of each version of the installation, which must be up."""
    token = journey.run("mill token").strip()
    listed = map(json.loads, journey.run("mill models list --json").splitlines())
    versions = [model for model in listed if "form" in model]  # without aliases
    return [_compared(journey, address, token, each, questions) for each in versions]


def _compared(
    journey: Journey, address: str, token: str, model: dict[str, str], questions: Sequence[str]
) -> Exported:
    version_id, form = model["id"], model["form"]
    folder = journey.folder / "exported" / version_id
    folder.parent.mkdir(exist_ok=True)
    journey.run(f"mill models export {version_id} {folder}")
    asked = json.dumps([str(folder), form, list(questions), MOST_TOKENS])
    bare = journey.run(f"python -c {shlex.quote(BARE)} <<< {shlex.quote(asked)}")
    answers: list[str] = json.loads(bare.splitlines()[-1])
    served = [_served(address, token, version_id, each) for each in questions]
    equal = sum(one == other for one, other in zip(answers, served, strict=True))
    return Exported(form, equal, len(questions))


def _served(address: str, token: str, model: str, question: str) -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": MOST_TOKENS,
        "temperature": 0,
    }
    request = urllib.request.Request(
        f"{address}/v1/chat/completions",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"]).strip()
