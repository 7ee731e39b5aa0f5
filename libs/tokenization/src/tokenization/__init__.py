"""Chat template and tokenizer: one way from messages to token ids, for training and serving alike."""
