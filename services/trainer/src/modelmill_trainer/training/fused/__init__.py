"""Fused forward and backward passes of a frozen decoder with LoRA, on CPU."""
