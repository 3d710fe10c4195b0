"""Is the candidate faster, slower or the same? Pure functions, and a live duel."""
