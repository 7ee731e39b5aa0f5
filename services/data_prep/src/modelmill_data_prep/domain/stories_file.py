"""Where a dataset keeps the stories of its rows."""

STORIES_FILE = "stories.arrow"
"""Its name in the dataset's folder."""
