"""Experiments on aliases."""

from starlette.requests import Request

from modelmill_gateway.entrypoints.http.requests import caller_of, idempotency_key_of, page
from modelmill_gateway.entrypoints.schemas.base import Page, WholeList
from modelmill_gateway.entrypoints.schemas.experiments import (
    Experiment,
    ExperimentBody,
    ExperimentUnit,
)
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.experiments.manage_experiments import ManageExperiments


class ExperimentRoutes:
    """/v1/experiments."""

    def __init__(self, manage: ManageExperiments) -> None:
        self._manage = manage

    async def create_experiment(self, request: Request) -> Experiment:
        body = await read_body(request, ExperimentBody)
        caller, key = caller_of(request), idempotency_key_of(request)
        state = await self._manage.create(body.order, caller, key)
        return Experiment.of_state(*self._manage.get(state.experiment_id, caller))

    async def list_experiments(self, request: Request) -> Page[Experiment]:
        caller = caller_of(request)
        return page(
            request,
            self._manage.list(caller),
            lambda state: Experiment.of_state(*self._manage.get(state.experiment_id, caller)),
            lambda state: state.experiment_id,
        )

    async def get_experiment(self, request: Request) -> Experiment:
        found = self._manage.get(request.path_params["experiment_id"], caller_of(request))
        return Experiment.of_state(*found)

    async def stop_experiment(self, request: Request) -> Experiment:
        experiment_id, caller = request.path_params["experiment_id"], caller_of(request)
        await self._manage.stop(experiment_id, caller)
        return Experiment.of_state(*self._manage.get(experiment_id, caller))

    async def list_experiment_units(self, request: Request) -> WholeList[ExperimentUnit]:
        experiment_id = request.path_params["experiment_id"]
        stored = await self._manage.units(experiment_id, caller_of(request))
        return WholeList(data=[unit for each in stored for unit in ExperimentUnit.of_units(each)])
