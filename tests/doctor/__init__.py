"""Problems planted for `mill doctor`, each found by its own check and by no other."""
