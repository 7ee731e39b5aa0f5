"""How rows pass: what a worker does with a block, and what is decided about all of them."""
