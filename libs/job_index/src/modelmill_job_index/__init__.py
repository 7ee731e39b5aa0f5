"""The read model of jobs: list, watch, queue positions and snapshots."""
