"""A device's own noise floor, and what limits it."""
