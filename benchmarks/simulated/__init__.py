"""A cloud without computers, for tests and measures: a cluster is a row in a server's memory. Never in the wheel."""
