"""What runs in the child process: the only place of this service that imports torch."""
