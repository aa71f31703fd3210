"""Owns checkpoints, on disk or a hub: ours (`own.py`) and others, one file a format; does not know who serves them."""
