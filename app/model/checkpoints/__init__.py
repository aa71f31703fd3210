"""Owns foreign checkpoints: one file a format, its key map as data; does not own our package."""
