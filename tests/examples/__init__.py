"""The examples: each has its parts, runs in a reduced form, and says what was measured of it."""
