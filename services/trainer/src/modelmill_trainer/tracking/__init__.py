"""Runs as other tools show them: figures go out from the parent process, never in a job's way."""
