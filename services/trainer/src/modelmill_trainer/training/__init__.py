"""Training in the child process: the only package of this service that imports torch."""
