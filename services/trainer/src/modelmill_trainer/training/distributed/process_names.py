"""Module names and environment variables of rank processes."""

RANK_MODULE = "modelmill_trainer.training.distributed.rank"
"""Module that torchrun starts."""
RESHARD_MODULE = "modelmill_trainer.training.distributed.reshard"
"""Module that reshards a checkpoint for another number of ranks."""
SOCKET = "MODELMILL_RANKS_SOCKET"
"""Variable with the path of the socket that local ranks connect to."""
FOLDER = "MODELMILL_RANKS_FOLDER"
"""Variable with the folder of message files of remote ranks."""


def rank_folder(rank: int | str) -> str:
    """Folder name of a rank, in checkpoints and scratch; "*" gives a glob pattern."""
    return f"rank-{rank}"
