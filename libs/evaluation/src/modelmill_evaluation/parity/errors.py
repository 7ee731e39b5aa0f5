"""Why a form is refused: each fault has a name, which the job that made the form ends with."""

TEMPLATE_MISMATCH = "TEMPLATE_MISMATCH"
TOKENIZER_MISMATCH = "TOKENIZER_MISMATCH"
SPECIAL_TOKEN_MISSING = "SPECIAL_TOKEN_MISSING"
MERGE_DTYPE = "MERGE_DTYPE"
LOGITS_DIFFER = "LOGITS_DIFFER"
GREEDY_DISAGREES = "GREEDY_DISAGREES"

REMEDIES = {
    TEMPLATE_MISMATCH: "Give the form the chat template that the model was trained with.",
    TOKENIZER_MISMATCH: "Give the form the tokenizer.json that the model was trained with.",
    SPECIAL_TOKEN_MISSING: "Add the token to tokenizer.json as one special token, with the id that "
    "the model learned, and make the form again.",
    MERGE_DTYPE: "Merge base and adapter in float32, and round the sum once.",
    LOGITS_DIFFER: "This architecture cannot be had in this form; report it.",
    GREEDY_DISAGREES: "Serve a form with more bits, or the source itself.",
}


class ParityError(Exception):
    """A form is not the model that was trained.

    Args:
        code: One of the names above.
        message: One clear line; what was found, and where.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.code]
