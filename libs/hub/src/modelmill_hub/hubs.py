"""Opens the hub that an address names; its client is loaded then."""

from modelmill_hub.address import HubAddress
from modelmill_hub.errors import HubNotSupportedError
from modelmill_hub.repository import Hub


def open_hub(address: HubAddress) -> Hub:
    """The hub, by the settings of the environment.

    Raises:
        HubNotSupportedError: Nothing here reads it.
    """
    if address.hub == "ms":
        raise HubNotSupportedError(
            f"{address}: ModelScope is not read yet. Download it by its own tool and import the"
            " folder, or name the same model as hf://"
        )
    from modelmill_hub.hugging_face import HuggingFaceHub

    return HuggingFaceHub()
