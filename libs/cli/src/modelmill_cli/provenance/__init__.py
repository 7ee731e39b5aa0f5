"""Provenance: in-toto statements in DSSE envelopes, signed by the maker, verified offline."""
