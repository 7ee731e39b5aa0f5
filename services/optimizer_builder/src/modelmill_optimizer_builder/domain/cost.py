"""What requests cost on a machine that is paid by the hour."""

SECONDS_PER_HOUR = 3600


def cost_per_1k_requests(price_per_hour: float, requests_per_second: float) -> float:
    """Price of a thousand requests on a machine that answers so many without a pause."""
    return 1000 * price_per_hour / SECONDS_PER_HOUR / requests_per_second


def saving(before: float, after: float) -> float:
    """What costs change by, as a share of those before; negative where they fall."""
    return (after - before) / before
