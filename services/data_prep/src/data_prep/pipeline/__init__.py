"""How rows pass: what a worker does with a block, and the two passes that string the blocks together."""
