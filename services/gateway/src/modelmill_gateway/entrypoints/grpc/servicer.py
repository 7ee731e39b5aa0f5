"""The whole service, put together from its parts."""

import asyncio

import grpc

from modelmill_gateway.entrypoints.grpc.changes import with_records
from modelmill_gateway.entrypoints.grpc.chat import ChatProcedures
from modelmill_gateway.entrypoints.grpc.datasets import DatasetProcedures, DatasetStoryProcedures
from modelmill_gateway.entrypoints.grpc.evaluations import EvaluationProcedures
from modelmill_gateway.entrypoints.grpc.files import FileProcedures
from modelmill_gateway.entrypoints.grpc.gate import Handlers, Verifier, build_handlers
from modelmill_gateway.entrypoints.grpc.jobs import JobProcedures, Jobs, OrderProcedures
from modelmill_gateway.entrypoints.grpc.models import ModelProcedures
from modelmill_gateway.entrypoints.grpc.policies import PolicyProcedures
from modelmill_gateway.entrypoints.grpc.uploads import UploadProcedures
from modelmill_gateway.entrypoints.http.dataset_stories import DatasetStories
from modelmill_gateway.entrypoints.http.evaluations import ReadsEvaluations
from modelmill_gateway.ordering.show_datasets import ReadReport
from modelmill_gateway.ports import DataPrep
from modelmill_gateway.use_cases import UseCases


def gateway_rpc_handlers(
    use_cases: UseCases,
    data_prep: DataPrep,
    stories: DatasetStories,
    evaluations: ReadsEvaluations,
    jobs: Jobs,
    verifier: Verifier,
    *,
    max_upload_bytes: int,
    stopping: asyncio.Event,
) -> grpc.GenericRpcHandler:
    """The procedures of modelmill.gateway.v1, behind their gate.

    Args:
        stopping: set when the process is to end.
    """
    models = ModelProcedures(
        *(use_cases.show_models, use_cases.move_alias, use_cases.split_alias),
        use_cases.delete_model.delete_alias,
        use_cases.delete_model,
    )
    datasets = DatasetProcedures(data_prep, use_cases.show_datasets, use_cases.delete_dataset)
    watching = JobProcedures(
        *(use_cases.control_job, use_cases.watch_job, use_cases.event_ids, jobs, stopping)
    )
    handlers = {
        **ChatProcedures(use_cases.answer_chat).handlers(),
        **models.handlers(),
        **PolicyProcedures(use_cases.manage_policy, use_cases.record_feedback).handlers(),
        **_files(use_cases, data_prep, max_upload_bytes),
        **datasets.handlers(),
        **DatasetStoryProcedures(stories, ReadReport(stories, use_cases.show_datasets)).handlers(),
        **_ordering(use_cases),
        **EvaluationProcedures(use_cases.create_evaluation, evaluations).handlers(),
        **watching.handlers(),
    }
    gates = (verifier, use_cases.require_models, use_cases.record_feedback.request_ids)
    return build_handlers(with_records(handlers, use_cases.record_changes), *gates)


def _files(use_cases: UseCases, data_prep: DataPrep, max_bytes: int) -> Handlers:
    files = FileProcedures(
        data_prep, use_cases.delete_file, use_cases.find_file, max_bytes=max_bytes
    )
    return {
        **files.handlers(),
        **UploadProcedures(data_prep, max_bytes=max_bytes).handlers(),
    }


def _ordering(use_cases: UseCases) -> Handlers:
    return OrderProcedures(
        use_cases.create_dataset,
        use_cases.create_fine_tuning_job,
        use_cases.create_optimization,
    ).handlers()
