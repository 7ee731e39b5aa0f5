"""What releases are made of: bills of materials, advisories, signed provenance."""
