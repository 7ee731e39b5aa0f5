"""More load than can be answered, and callers who all leave at once, before a real gateway."""
