"""Binaries that export and use a model; run from the checkout."""
