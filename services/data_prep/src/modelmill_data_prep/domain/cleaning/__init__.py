"""Text cleaning: transforms on batches of texts, and the plan that selects them."""
