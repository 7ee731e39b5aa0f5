"""Answers of models, from the queue to the bill: chats, embeddings, counted prompts."""
