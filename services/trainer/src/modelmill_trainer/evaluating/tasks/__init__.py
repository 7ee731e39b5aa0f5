"""Tasks in a part of lm-evaluation-harness's format: data and templates, never code."""
