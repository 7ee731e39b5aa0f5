"""The dataset pipeline: per-block work of workers, and dataset-wide decisions."""
