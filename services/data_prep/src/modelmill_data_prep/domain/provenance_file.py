"""File name of row provenance; separate, so that the service does not import Arrow."""

PROVENANCE_FILE = "provenance.arrow"
"""File in a dataset's folder."""
