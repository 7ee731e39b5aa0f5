"""Row provenance and Merkle tree of a dataset."""
