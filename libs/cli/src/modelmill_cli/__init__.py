"""mill: run, feed, train, chat and watch Modelmill from a terminal."""
