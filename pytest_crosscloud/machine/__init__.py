"""Machines: isolated Linux hosts made of namespaces, which boot user-data like a VM. Part of the ``local`` cloud."""

from .end import destroy_run, leftovers, runs
from .network import allocate as allocate_network
from .network import down as free_network
from .preflight import preflight
from .records import Machine, machines

__all__ = ["Machine", "allocate_network", "destroy_run", "free_network", "leftovers", "machines", "preflight", "runs"]
