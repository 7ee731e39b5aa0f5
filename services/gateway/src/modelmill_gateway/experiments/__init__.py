"""Experiments on aliases: made and stopped, their answers counted, their decisions carried out."""
