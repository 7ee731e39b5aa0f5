"""Models and datasets from public hubs."""
