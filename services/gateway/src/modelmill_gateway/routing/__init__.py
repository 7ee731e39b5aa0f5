"""Which version answers to a name: aliases and their splits, fallback, shadows."""
