"""Experiment trackers, fed from the parent process; a tracker's failure never affects a job."""
