"""How hard rows are, and in which order they are trained on."""
