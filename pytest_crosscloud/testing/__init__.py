"""For the tests of plugins: a test kit for clouds and projects. Not for plugins themselves: it imports pytest."""

from .contract import CloudContract

__all__ = ["CloudContract"]
