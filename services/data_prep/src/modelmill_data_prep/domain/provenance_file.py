"""File name of row provenance; separate, so that the service does not import Arrow."""

PROVENANCE_FILE = "stories.arrow"
"""File in a dataset's folder."""
