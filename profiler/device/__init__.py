"""The state of the device before a run, read and never changed."""
