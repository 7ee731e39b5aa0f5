"""How runs of recipes end badly, beyond the errors that all services share."""

from modelmill_service_kit.errors import PreconditionError


class GateNotMetError(PreconditionError):
    """The model is not good enough to be served; all that was made is kept."""

    reason = "GATE_NOT_MET"
