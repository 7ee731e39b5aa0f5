"""The HTTP door: the gate, and for each group of routes who unpacks, calls and packs."""
