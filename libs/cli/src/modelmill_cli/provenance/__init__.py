"""Provenance: in-toto statements in DSSE envelopes, signed where things are made, verified offline."""
