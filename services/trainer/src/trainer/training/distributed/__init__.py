"""Training divided among processes."""
