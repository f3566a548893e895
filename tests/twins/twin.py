"""Watches an emulated cloud, and has for each of its instances a machine of this computer, which boots that user-data.

Nothing of the module that makes the instances is different: user-data, private addresses and public ones are what the
emulator's API says of them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Protocol

from pytest_crosscloud.testing.machines import Network, Node

from .forward import forwarded

#: Seconds between two looks at the emulator.
INTERVAL = 0.5

#: What a cloud lets through to a node from outside: the API server.
PORT = 6443


class Emulator(Protocol):
    """The API of a cloud that runs here."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What a program of this cloud needs in its environment to use it."""

    def instances(self) -> Mapping[str, Node]:
        """By id: what is to be a machine now."""

    def addresses(self) -> Mapping[str, str]:
        """By public address: the instance's own that it leads to now."""


class Twin:
    """Makes machines what an emulator says, until it is told to stop; then all that it made is gone."""

    def __init__(self, emulator: Emulator, network: Network) -> None:
        self._emulator = emulator
        self._network = network
        self._nodes: dict[str, Node] = {}  #: by instance, those that run
        self._forwards: dict[tuple[str, str], ExitStack] = {}  #: by public and own address
        self._stop = threading.Event()

    def run(self) -> None:
        """Watch until ``stop``."""
        try:
            while not self._stop.wait(INTERVAL):
                self.step()
        finally:
            for forward in self._forwards.values():
                forward.close()

    def stop(self) -> None:
        self._stop.set()

    def console(self, instance: str) -> str:
        """What the machine of an instance has said; empty if there is none."""
        node = self._nodes.get(instance)
        return self._network.console(node.name) if node else ""

    def step(self) -> None:
        """Make it so once."""
        wanted = self._emulator.instances()
        for instance in self._nodes.keys() - wanted.keys():
            self._network.end(self._nodes.pop(instance).name)
            print(f"{instance} ended", flush=True)
        for instance in wanted.keys() - self._nodes.keys():
            node = self._nodes[instance] = wanted[instance]
            self._network.boot([node])
            print(f"{instance} booted as {node.name} at {node.address}", flush=True)
        own = {node.address for node in self._nodes.values()}
        forwards = {pair for pair in self._emulator.addresses().items() if pair[1] in own}
        for pair in self._forwards.keys() - forwards:
            self._forwards.pop(pair).close()
        for public, address in forwards - self._forwards.keys():
            forward = self._forwards[public, address] = ExitStack()
            forward.enter_context(forwarded(public, address, PORT))
            print(f"{public} leads to {address}", flush=True)
