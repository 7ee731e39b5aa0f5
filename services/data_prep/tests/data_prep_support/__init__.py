"""What several tests of data-prep need."""
