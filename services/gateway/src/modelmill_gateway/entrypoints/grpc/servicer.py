"""The whole service, put together from its parts."""

import asyncio

import grpc
from modelmill_job_index.index import JobIndex

from modelmill_gateway.entrypoints.grpc.changes import with_records
from modelmill_gateway.entrypoints.grpc.chat import ChatProcedures
from modelmill_gateway.entrypoints.grpc.datasets import DatasetProcedures, DatasetStoryProcedures
from modelmill_gateway.entrypoints.grpc.evaluations import EvaluationProcedures
from modelmill_gateway.entrypoints.grpc.files import FileProcedures
from modelmill_gateway.entrypoints.grpc.jobs import JobProcedures, OrderProcedures
from modelmill_gateway.entrypoints.grpc.middleware import SERVICE, build_handlers
from modelmill_gateway.entrypoints.grpc.models import ModelProcedures
from modelmill_gateway.entrypoints.grpc.policies import PolicyProcedures
from modelmill_gateway.entrypoints.grpc.uploads import UploadProcedures
from modelmill_gateway.entrypoints.http.datasets import DatasetStories
from modelmill_gateway.entrypoints.http.evaluations import ReadsEvaluations
from modelmill_gateway.identity.credentials import Credentials
from modelmill_gateway.ordering.show_datasets import ReadReport
from modelmill_gateway.ports import DataPrep
from modelmill_gateway.use_cases import UseCases


def gateway_rpc_handlers(
    use_cases: UseCases,
    data_prep: DataPrep,
    stories: DatasetStories,
    evaluations: ReadsEvaluations,
    jobs: JobIndex,
    verifier: Credentials,
    *,
    max_upload_bytes: int,
    stopping: asyncio.Event,
) -> grpc.GenericRpcHandler:
    """The procedures of modelmill.gateway.v1, behind their middleware.

    Args:
        stopping: set when the process is to end.
    """
    servicers = (
        ChatProcedures(use_cases.answer_chat),
        PolicyProcedures(use_cases.manage_policy, use_cases.record_feedback),
        *_data_procedures(use_cases, data_prep, stories, max_upload_bytes),
        *_job_procedures(use_cases, evaluations, jobs, stopping),
    )
    handlers = {
        method.name: getattr(servicer, method.name)
        for servicer in servicers
        for method in SERVICE.methods
        if hasattr(servicer, method.name)
    }
    middleware = (verifier, use_cases.require_models, use_cases.record_feedback.request_ids)
    return build_handlers(with_records(handlers, use_cases.record_changes), *middleware)


def _data_procedures(
    use_cases: UseCases, data_prep: DataPrep, stories: DatasetStories, max_bytes: int
) -> tuple[object, ...]:
    return (
        ModelProcedures(
            use_cases.show_models,
            use_cases.move_alias,
            use_cases.delete_model.delete_alias,
            use_cases.delete_model,
        ),
        FileProcedures(data_prep, use_cases.delete_file, use_cases.find_file, max_bytes=max_bytes),
        UploadProcedures(data_prep, max_bytes=max_bytes),
        DatasetProcedures(data_prep, use_cases.show_datasets, use_cases.delete_dataset),
        DatasetStoryProcedures(stories, ReadReport(stories, use_cases.show_datasets)),
    )


def _job_procedures(
    use_cases: UseCases, evaluations: ReadsEvaluations, jobs: JobIndex, stopping: asyncio.Event
) -> tuple[object, ...]:
    return (
        OrderProcedures(
            use_cases.create_dataset,
            use_cases.create_fine_tuning_job,
            use_cases.create_optimization,
        ),
        EvaluationProcedures(use_cases.create_evaluation, evaluations),
        JobProcedures(
            use_cases.control_job, use_cases.watch_job, use_cases.event_ids, jobs, stopping
        ),
    )
