"""Whether a form of a model still is the model that was trained: goldens, and what is compared."""
