"""Launches the ranks of a distributed run, locally or on Kubernetes, and relays their messages."""
