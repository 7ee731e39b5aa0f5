"""Tasks in a subset of lm-evaluation-harness's YAML format: data and templates, never code."""
