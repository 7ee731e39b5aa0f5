"""Why a broker and we do not come together, in one line for whoever runs both."""

import ssl

from modelmill_service_kit.bus_access import BusTls, Credential, NkeySeed


def refusal(error: Exception | None, url: str, credential: Credential, tls: BusTls | None) -> str:
    """What to say when the broker refused `credential`, or TLS with it came to nothing."""
    if isinstance(error, ssl.SSLCertVerificationError):
        judge = f"{tls.ca_file} does" if tls else "the authorities of this machine do"
        return f"the message broker at {url}: {judge} not vouch for it ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"the message broker at {url} and we do not agree on TLS ({error.reason})"
    shown = f"identity of {credential.file}" if isinstance(credential, NkeySeed) else "token"
    return f"the message broker at {url} refuses the {shown}"
