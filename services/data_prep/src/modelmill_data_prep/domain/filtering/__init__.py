"""Quality filter: thresholds on text statistics, and languages."""
