"""Consistent hash rings of the load-balancing exporter, bit for bit."""

from tailring_hashring.moves import Moved, moved
from tailring_hashring.placement import COMPILED
from tailring_hashring.ring import GENERATIONS, Ring, build

__all__ = ["COMPILED", "GENERATIONS", "Moved", "Ring", "build", "moved"]
