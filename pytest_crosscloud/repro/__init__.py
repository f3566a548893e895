"""A failed cell in one file: written by the run, and repeated by ``crosscloud repro`` on any computer."""
