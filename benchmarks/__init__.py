"""What is promised about speed, measured: ``make bench``, or ``python -m benchmarks [NAME]``."""
