"""Distributed training with DeepSpeed ZeRO."""
