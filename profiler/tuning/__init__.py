"""Knobs of a device that are set, verified and put back."""
