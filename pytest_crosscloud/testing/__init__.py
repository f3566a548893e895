"""For the tests of plugins: a test kit for clouds and projects. Not for plugins themselves: it imports pytest."""

from .contract import CloudContract
from .projects import ProjectContract

__all__ = ["CloudContract", "ProjectContract"]
