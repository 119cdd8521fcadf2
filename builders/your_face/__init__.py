"""The your_face dataset folder, in the layout of TFDS."""
