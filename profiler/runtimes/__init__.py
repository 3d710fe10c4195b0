"""Execution engines: one file each, behind the protocols of ``base``; ``table`` lists them."""
