"""Model files are hostile: what they are is told without opening them."""
