"""One execution of a matrix: what is recorded, who owns what, and how it ends."""
