"""What strings of a named format look like. Narrower than the format, never wider."""

_YEAR = "[12][0-9]{3}"
_DAY_28 = "(0[1-9]|1[0-9]|2[0-8])"
_DATE = (
    f"{_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    f"|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-{_DAY_28})"
)
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_HEX = "[0-9a-f]"
_LABEL = "[a-z0-9]([a-z0-9]|-[a-z0-9])*"

FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"({_DATE})T{_TIME}",
    "uuid": f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
    "email": rf"[a-z0-9]([a-z0-9_-]|\.[a-z0-9_-])*@{_LABEL}(\.{_LABEL})*\.[a-z]{{2,8}}",
}
"""29 February is left out of dates, and years are from 1000 to 2999."""
