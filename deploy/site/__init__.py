"""The documentation site: `make docs` writes it into build/site, without network."""
