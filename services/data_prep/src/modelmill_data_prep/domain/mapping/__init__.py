"""Maps source rows to conversations by the spec's column mapping."""
