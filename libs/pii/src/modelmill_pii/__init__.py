"""Personal identifiers: whether a number that looks like one is valid."""
