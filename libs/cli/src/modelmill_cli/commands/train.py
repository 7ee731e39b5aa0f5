"""`mill train` and `mill optimize`: orders of a model, and of a smaller, faster form of one."""

from typing import Annotated, Any, Literal

import typer

from modelmill_cli.gateway import connect
from modelmill_cli.orders import Fields, Priority, Wait, body_of, follow_order
from modelmill_cli.output import AsJson
from modelmill_cli.short_ids import DATASET, FILE, MODEL

Method = Literal["lora", "full", "prefix", "prompt", "qlora", "auto"]
Objective = Literal["answers", "text", "dpo", "kto", "distillation"]


def train(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Base: a version, or how its id begins, or a name.")],
    dataset: Annotated[
        str, typer.Argument(help="Dataset, ds-..., or a file of conversations, file-...")
    ],
    name: Annotated[str, typer.Option(help="Name of the trained model.")] = "",
    method: Annotated[Method | None, typer.Option(help="Which weights change.")] = None,
    objective: Annotated[Objective | None, typer.Option(help="What is learned.")] = None,
    teacher: Annotated[str, typer.Option(help="Teacher model, for distillation.")] = "",
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows of a batch.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed.")] = None,
    priority: Priority = None,
    fields: Fields = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Train a model on a dataset; what is not given is chosen by the trainer."""
    with connect(context.obj) as client:
        sort = FILE if dataset.startswith("file-") else DATASET
        given = {
            "model": MODEL.full_id(client, model),
            "training_file": sort.full_id(client, dataset),
            "suffix": name,
            "training_method": method,
            "objective": objective,
            "teacher": teacher and MODEL.full_id(client, teacher),
            "hyperparameters.epochs": epochs,
            "hyperparameters.learning_rate": learning_rate,
            "hyperparameters.batch_size": batch_size,
            "seed": seed,
            "priority": priority,
        }
        answer: Any = client.fine_tuning.jobs.create(**body_of(given, fields))
        follow_order(client, answer, wait=wait, as_json=as_json)


def optimize(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A version, or how its id begins, or a name.")],
    form: Annotated[
        str,
        typer.Option(
            help="openvino-int8, the default; openvino-int4, onnx-int8 or onnx-int4; to export:"
            " gguf-q8_0 or compressed-tensors-int4. An unknown one is refused with all of them."
        ),
    ] = "",
    dataset: Annotated[
        str, typer.Option(help="Dataset whose test split scores the model before and after, ds-...")
    ] = "",
    max_accuracy_loss: Annotated[
        float | None,
        typer.Option(help="Largest loss of accuracy; more fails, or marks int4."),
    ] = None,
    max_rows: Annotated[int | None, typer.Option(help="Maximum test rows to score.")] = None,
    priority: Priority = None,
    fields: Fields = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Build a smaller, faster form of a model, and score it beside its source."""
    with connect(context.obj) as client:
        given = {
            "model": MODEL.full_id(client, model),
            "target_form": form,
            "dataset_id": dataset and DATASET.full_id(client, dataset),
            "max_accuracy_loss": max_accuracy_loss,
            "max_rows": max_rows,
            "priority": priority,
        }
        answer: Any = client.optimizations.create(**body_of(given, fields))
        follow_order(client, answer, wait=wait, as_json=as_json)
