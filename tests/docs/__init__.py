"""The documentation: its code runs, its links lead somewhere, and both languages say the same."""
