"""How many bytes one call may copy beyond those it was given.

Cutting repeats headers, routing by attributes repeats values in keys, and a key that
comes twice repeats its value in a hash. Each is small in an honest request, and can be
made the square of the size by a hostile one.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from tailring_otlpwire.errors import WireError

COPIES_BYTES_MAX: Final = 256 * 1024 * 1024


@mypyc_attr(acyclic=True)
class Budget:
    """Bytes that may still be repeated."""

    def __init__(self, left_bytes: int) -> None:
        self.left_bytes: i64 = left_bytes

    def charge(self, repeated_bytes: i64) -> None:
        """Take bytes out of the budget; raises WireError when none are left."""
        self.left_bytes -= repeated_bytes
        if self.left_bytes < 0:
            raise WireError(0, "headers too large to repeat in every part")
