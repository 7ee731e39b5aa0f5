"""The request log: what was asked and answered, sealed by user, for as long as it is kept."""
