"""Edge bundles: a build with what runs it alone."""
