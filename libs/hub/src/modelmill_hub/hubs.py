"""Opens the hub that an address names; its client is loaded then."""

from modelmill_hub.address import HubAddress
from modelmill_hub.errors import HubNotSupportedError
from modelmill_hub.repository import Hub


def open_hub(address: HubAddress) -> Hub:
    """The hub, by the settings of the environment.

    Raises:
        HubNotSupportedError: Its client is not installed.
    """
    if address.hub == "ms":
        try:
            from modelmill_hub.model_scope import ModelScopeHub
        except ModuleNotFoundError:
            raise HubNotSupportedError(
                f"{address}: ModelScope's client is not installed. Install"
                " `modelmill[modelscope]`, or name the same model as hf://"
            ) from None
        return ModelScopeHub()
    from modelmill_hub.hugging_face import HuggingFaceHub

    return HuggingFaceHub()
