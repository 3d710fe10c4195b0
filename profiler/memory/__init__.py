"""How much memory a model takes: the host's, the accelerator's, and that of all it starts."""
