"""The bundled tests: what ``pytest --clouds=… --projects=…`` runs when no path is given."""
