"""Text of documents: parsed in a process with limits, cut into passages that say where they are."""
