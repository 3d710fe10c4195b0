"""One board a module."""
