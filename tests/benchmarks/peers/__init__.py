"""fleetmark's figures beside those of other tools.

Nothing is imported here: what runs inside the tools' processes is in this package too, and
fleetmark has no business there.
"""
