"""How a teacher is asked, as a spec says it."""

from modelmill.trainer.v1.trainer_service_pb2 import TeacherAnswers

ANSWER_TOKENS = 256
MAX_ANSWER_TOKENS = 32_768
MAX_TEMPERATURE = 2.0


def answer_tokens(asked: TeacherAnswers) -> int:
    """The most that an answer may have."""
    return asked.max_new_tokens or ANSWER_TOKENS


def errors_of_asking(asked: TeacherAnswers) -> list[str]:
    """Everything that is wrong with it."""
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
