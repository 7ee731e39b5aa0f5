"""`mill train` and `mill optimize`: orders of a model, and of a smaller, faster form of one."""

from typing import Annotated, Any, Literal

import typer

from modelmill_cli.estimate_words import build_facts, training_facts
from modelmill_cli.gateway import connect
from modelmill_cli.orders import (
    Estimate,
    Fields,
    Priority,
    Wait,
    body_of,
    follow_order,
    numbers_of,
    seconds_of,
)
from modelmill_cli.output import AsJson, print_table_of
from modelmill_cli.short_ids import DATASET, FILE, MODEL

Method = Literal["lora", "full", "prefix", "prompt", "qlora", "auto"]
TrainingObjective = Literal["answers", "text", "dpo", "kto", "distillation"]


def train(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Base: a version, or how its id begins, or a name.")],
    dataset: Annotated[
        str, typer.Argument(help="Dataset, ds-..., or a file of conversations, file-...")
    ],
    name: Annotated[str, typer.Option(help="Name of the trained model.")] = "",
    method: Annotated[Method | None, typer.Option(help="Which weights change.")] = None,
    objective: Annotated[TrainingObjective | None, typer.Option(help="What is learned.")] = None,
    teacher: Annotated[str, typer.Option(help="Teacher model, for distillation.")] = "",
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows of a batch.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed.")] = None,
    priority: Priority = None,
    fields: Fields = None,
    estimate: Estimate = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Train a model on a dataset; what is not given is chosen by the trainer."""
    with connect(context.obj) as client:
        sort = FILE if dataset.startswith("file-") else DATASET
        given = {
            **{"model": MODEL.full_id(client, model), "suffix": name, "seed": seed},
            "training_file": sort.full_id(client, dataset),
            **{"training_method": method, "objective": objective},
            "teacher": teacher and MODEL.full_id(client, teacher),
            **{"hyperparameters.epochs": epochs, "hyperparameters.batch_size": batch_size},
            "hyperparameters.learning_rate": learning_rate,
            "priority": priority,
        }
        body: Any = body_of(given, fields)
        if estimate:
            found = client.fine_tuning.jobs.estimate(**body)
            print_table_of(found, training_facts(found), as_json=as_json)
        else:
            answer = client.fine_tuning.jobs.create(**body)
            follow_order(client, answer, wait=wait, as_json=as_json)


Form = Annotated[
    str,
    typer.Option(
        help="openvino-int8, the default; openvino-int4, onnx-int8 or onnx-int4; to export:"
        " gguf-q8_0 or compressed-tensors-int4. An unknown one is refused with all of them."
    ),
]
ObjectiveText = Annotated[
    str,
    typer.Option(
        metavar="NAME=VALUE",
        help="In place of a form: p95_ms, first_token_ms, tokens_per_s, size_mb, memory_mb or"
        " cost_per_1k_requests, as in p95_ms=200. Forms are tried until one reaches it.",
    ),
]
LoadText = Annotated[
    str,
    typer.Option(
        metavar="NAME=N,...",
        help="Under which load it holds: prompt_tokens (128), output_tokens (64), in_flight (1),"
        " as in in_flight=8,output_tokens=128.",
    ),
]
Budget = Annotated[str, typer.Option(help="Time for the search, as in 45m; 30 minutes by default.")]
ScoredDataset = Annotated[
    str, typer.Option(help="Dataset whose test split scores the model before and after, ds-...")
]
PromptLookup = Annotated[
    str,
    typer.Option(
        help="auto, on or off: whether an openvino form drafts what answers copy from prompts;"
        " auto where that was faster on the dataset's prompts."
    ),
]
MostLost = Annotated[
    float | None,
    typer.Option(help="Largest loss of accuracy; more fails, marks int4, meets no objective."),
]


def _search_fields(objective: str, load: str, budget: str) -> dict[str, Any]:
    """Of a request that names what to reach in place of a form; None for what was left out."""
    return {
        "objective": numbers_of(objective, "--objective", "p95_ms=200"),
        "load": numbers_of(load, "--load", "in_flight=8"),
        "budget_seconds": seconds_of(budget) if budget else None,
    }


def optimize(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A version, or how its id begins, or a name.")],
    form: Form = "",
    objective: ObjectiveText = "",
    load: LoadText = "",
    budget: Budget = "",
    dataset: ScoredDataset = "",
    max_accuracy_loss: MostLost = None,
    max_rows: Annotated[int | None, typer.Option(help="Maximum test rows to score.")] = None,
    prompt_lookup: PromptLookup = "",
    priority: Priority = None,
    fields: Fields = None,
    estimate: Estimate = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Build a smaller, faster form of a model and score it, or search for one by an objective."""
    with connect(context.obj) as client:
        given = {
            "model": MODEL.full_id(client, model),
            "target_form": form,
            **_search_fields(objective, load, budget),
            "dataset_id": dataset and DATASET.full_id(client, dataset),
            "max_accuracy_loss": max_accuracy_loss,
            "max_rows": max_rows,
            "prompt_lookup": prompt_lookup,
            "priority": priority,
        }
        body: Any = body_of(given, fields)
        if estimate:
            found = client.optimizations.estimate(**body)
            print_table_of(found, build_facts(found), as_json=as_json)
        else:
            answer = client.optimizations.create(**body)
            follow_order(client, answer, wait=wait, as_json=as_json)
