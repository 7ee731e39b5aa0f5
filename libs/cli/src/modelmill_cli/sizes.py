"""Sizes of files for people."""


def megabytes(size: float) -> str:
    """In MB of a million bytes, and in bytes what is less than a tenth of one."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,.0f} bytes"
