"""Child process of an evaluation: rows, model requests, metrics. It does not import torch."""
