"""What a handler answers when its work is done."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import JobResult


def announced_result(
    made_id: str, digest: str, subject: str, announcement: Message, summary: Mapping[str, Any]
) -> JobResult:
    """An artifact that the worker announces once the job's success is recorded.

    Args:
        made_id: of the dataset or model version.
        announcement: body of the subject; it says what was made.
        summary: figures for people.
    """
    return JobResult(
        digest=digest,
        version_id=made_id,
        announce_subject=subject,
        announcement=ParseDict(MessageToDict(announcement), Struct()),
        summary=ParseDict(dict(summary), Struct()),
    )
