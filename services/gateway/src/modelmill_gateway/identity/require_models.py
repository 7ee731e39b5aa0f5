"""Hold a key's list of models against what a request names: one rule for both servers."""

import json

from modelmill.gateway.v1.gateway_events_pb2 import EvalState
from modelmill_bus.keyed_store import KeyedStore
from modelmill_job_index.index import JobIndex
from modelmill_service_kit.errors import NotFoundError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import ModelNotAllowedError
from modelmill_gateway.domain.model_names import ModelNames, Named, Reach, names_at


class RequireModels:
    """Authorization by models: refuses a caller whose key may not ask for all that is named.

    The list holds names. A key may name what is on it, whatever that means at the time, and nothing
    else: what it makes adds nothing to it.
    """

    def __init__(self, jobs: JobIndex, evals: KeyedStore[EvalState], default_model: str) -> None:
        self._jobs = jobs
        self._evals = evals
        self._default_model = default_model

    def __call__(self, caller: Caller, models: ModelNames, named: Named) -> None:
        """Return if the request may go on.

        Args:
            models: of its route.

        Raises:
            ModelNotAllowedError: the key has a list, and something is not on it.
        """
        if caller.models is None:
            return
        if models.reach is Reach.ALL:
            raise ModelNotAllowedError(
                "this concerns every model, and the key may ask only for some. Use another key"
            )
        is_default = models.is_default_meant and not named.models
        for name in (self._default_model,) if is_default else named.models:
            caller.require_model(name)
        if models.reach is Reach.JOB:
            self._require_own_job(caller, named.other)
        elif models.reach is Reach.EVAL:
            self._require_graders(caller, named.other)

    def _require_own_job(self, caller: Caller, job_id: str) -> None:
        try:
            ordered = self._jobs.get(caller.tenant, job_id).requested
        except NotFoundError:
            return  # Whoever would steer it says so.
        if ordered.requested_by != caller.subject:
            raise ModelNotAllowedError(
                "a key that may ask only for some models steers the jobs that it ordered itself."
                " Use the key that ordered this one, or one for all models"
            )

    def _require_graders(self, caller: Caller, eval_id: str) -> None:
        try:
            criteria = self._evals.get(caller.tenant, eval_id).testing_criteria
        except NotFoundError:
            return  # Whoever would run it says so.
        for name in names_at(json.loads(criteria), "model"):
            caller.require_model(name)
