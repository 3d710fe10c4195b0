"""The load patterns other than ``single_stream``: how calls come, and what their stamps tell.

Every module works on a ``call`` and a clock that it is given. Reading goes from ``offline`` (as
fast as they go) and ``sustained`` (for long) to ``server``, which has the most parts: ``arrivals``
makes the load, ``server`` serves it, ``queueing`` foresees what a queue will do, ``trial`` judges
one rate and ``rate_search`` finds the highest that meets a bound.
"""
