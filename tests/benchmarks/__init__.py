"""The figures in the documentation, measured on the machine that runs them.

``python -m tests.benchmarks`` runs all of them, ``python -m tests.benchmarks NAME`` one.
"""
