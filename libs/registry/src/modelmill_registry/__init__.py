"""Content-addressed artifacts, manifests, models, datasets, aliases, lineage."""
