"""Binaries that train and evaluate; run from the checkout."""
