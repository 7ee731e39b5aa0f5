"""What the processes of a run are called, and what they find each other by."""

RANK_MODULE = "modelmill_trainer.training.distributed.rank"
"""What each rank runs."""
REGATHER_MODULE = "modelmill_trainer.training.distributed.regather"
"""What converts a checkpoint to another number of ranks."""
SOCKET = "MODELMILL_RANKS_SOCKET"
"""Variable with the path of the socket at which a rank reports, where all are on one machine."""
FOLDER = "MODELMILL_RANKS_FOLDER"
"""Variable with the folder at which a rank reports, where it is on another machine."""


def rank_folder(rank: int | str) -> str:
    """The name of a rank's folder, in a checkpoint and in the run's scratch; of "*" a pattern."""
    return f"rank-{rank}"
