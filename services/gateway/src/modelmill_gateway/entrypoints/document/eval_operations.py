"""What the routes of evals take and give."""

from modelmill_gateway.entrypoints.bodies.eval_body import ChangedEvalBody, EvalBody, EvalRunBody
from modelmill_gateway.entrypoints.document import eval_answers as evals
from modelmill_gateway.entrypoints.document import examples as e
from modelmill_gateway.entrypoints.document.operation import Body, Operation

BUS = (503,)

EVAL_OPERATIONS = {
    "create_eval": Operation(
        evals.Eval, evals.EVAL, Body(EvalBody, evals.BODY), refusals=(409, 422, *BUS)
    ),
    "list_evals": Operation(evals.EvalPage, e.page(evals.EVAL)),
    "get_eval": Operation(evals.Eval, evals.EVAL),
    "change_eval": Operation(
        evals.Eval, evals.EVAL, Body(ChangedEvalBody, {"name": "kinds"}), refusals=BUS
    ),
    "delete_eval": Operation(
        evals.DeletedEval,
        {"object": "eval.deleted", "deleted": True, "eval_id": "eval-0b8f"},
        refusals=BUS,
    ),
    "create_eval_run": Operation(
        evals.EvalRun,
        evals.RUN,
        Body(EvalRunBody, evals.RUN_BODY),
        refusals=(422, 429, 503, 504),
    ),
    "list_eval_runs": Operation(evals.EvalRunPage, e.page(evals.RUN)),
    "get_eval_run": Operation(evals.EvalRun, evals.RUN),
    "cancel_eval_run": Operation(
        evals.EvalRun, {**evals.RUN, "status": "canceled"}, refusals=(409, 503, 504)
    ),
    "delete_eval_run": Operation(
        evals.DeletedEvalRun,
        {"object": "eval.run.deleted", "deleted": True, "run_id": "evalrun-77aa"},
        refusals=(409, *BUS),
    ),
    "list_eval_items": Operation(evals.EvalOutputItemPage, e.page(evals.ITEM), refusals=BUS),
    "get_eval_item": Operation(evals.EvalOutputItem, evals.ITEM, refusals=BUS),
}
