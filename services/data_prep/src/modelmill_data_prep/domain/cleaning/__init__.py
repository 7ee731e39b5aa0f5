"""What is tidied in texts: transforms on batches of texts, and the plan that names them."""
