"""The load patterns other than ``single_stream``: how calls come, and what their stamps tell.

Every module works on a ``call`` and a clock that it is given. Reading goes from ``offline`` (as
fast as they go) and ``sustained`` (for long; ``settling`` tells whether the device still warms up,
while it runs over ``live_state``, which ``waiting`` follows, and then for ``device_settling``) to
``server``, which has the most parts: ``arrivals`` makes the load, ``server`` serves it, ``served``
holds the stamps, ``queueing`` foresees what a queue will do, ``trial`` judges one rate,
``rate_search`` and its ``bracket`` find the highest that meets a bound.
"""
