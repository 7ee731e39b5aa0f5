"""Model card and loss curves, which the parent process adds to the artifact."""
