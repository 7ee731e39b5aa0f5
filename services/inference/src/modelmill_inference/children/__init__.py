"""Code of engine child processes; imports nothing of `inference` outside this package."""
