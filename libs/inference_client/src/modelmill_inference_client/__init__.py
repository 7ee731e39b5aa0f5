"""Models behind the inference service, for work that asks them many questions."""
