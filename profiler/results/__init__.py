"""The parts of a ``RunResult``, by what they tell; ``profiler.result`` has all of their names."""
