"""The programs that a run needs and the Kubernetes that it provisions: found, fetched or built; cached."""

from .tools import tool

__all__ = ["tool"]
