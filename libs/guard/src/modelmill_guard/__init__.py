"""The rule engine: a pure function from compiled policy and text to a verdict."""
