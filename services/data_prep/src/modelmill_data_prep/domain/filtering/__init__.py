"""Which rows are noise: thresholds on values of their texts, and their language."""
