"""The passes of a frozen decoder and its adapters, in few operations."""
