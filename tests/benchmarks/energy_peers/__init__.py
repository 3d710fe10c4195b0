"""Energy beside zeus and codecarbon: the same simulated sensors, whose truth is known."""
