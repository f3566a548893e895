"""The bundled tests: what ``pytest --clouds=… --projects=…`` runs when no path is given."""

#: The file of those that run on request alone, and are told as tests of their own: no cell has their stage.
UPGRADES = "test_upgrade.py"
