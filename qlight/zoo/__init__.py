"""Trained networks that come with qlight, stored as packed weight codes and batch norms: `load("cifar10-w2a2-x0.25")`."""

from qlight.zoo.packed import pack, unpack
from qlight.zoo.store import PREFIX, Entry, checkpoint, entries, load, resolve

__all__ = ["PREFIX", "Entry", "checkpoint", "entries", "load", "pack", "resolve", "unpack"]
