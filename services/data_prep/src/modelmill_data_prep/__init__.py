"""Files and datasets: import, clean, deduplicate, split, render."""
