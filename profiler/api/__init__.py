"""The Python API, and models that exist in the caller's process only."""
