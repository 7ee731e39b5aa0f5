"""Where every row came from and went to, and the hash that says so."""
