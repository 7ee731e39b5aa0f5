"""Sampling options of teacher answers: defaults and bounds."""

from modelmill.trainer.v1.trainer_service_pb2 import TeacherAnswers

ANSWER_TOKENS = 256
MAX_ANSWER_TOKENS = 32_768
MAX_TEMPERATURE = 2.0


def answer_tokens(asked: TeacherAnswers) -> int:
    """Maximum tokens of an answer."""
    return asked.max_new_tokens or ANSWER_TOKENS


def answer_option_errors(asked: TeacherAnswers) -> list[str]:
    """All errors of the options."""
    errors = []
    if asked.max_new_tokens > MAX_ANSWER_TOKENS:
        errors.append(
            f"teacher_answers.max_new_tokens must be at most {MAX_ANSWER_TOKENS}, "
            f"got {asked.max_new_tokens}"
        )
    if not 0 <= asked.temperature <= MAX_TEMPERATURE:
        errors.append(
            f"teacher_answers.temperature must be between 0 and {MAX_TEMPERATURE:g}, "
            f"got {asked.temperature:g}"
        )
    return errors
