"""Dataset folders for `tfds build`; tests import them as a package."""
