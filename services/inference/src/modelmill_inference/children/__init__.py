"""What runs in engines' own processes; imports nothing of `inference` outside this package."""
