"""What can go wrong with a measurement."""


class BenchError(Exception):
    """Something is wrong with the program or the machine, not merely slow; the bench fails."""
