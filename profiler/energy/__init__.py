"""From the sampler's readings to joules: one kind of sensor a file, then figures, then verdicts."""
