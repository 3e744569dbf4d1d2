"""OTTL conditions over spans and span events: parsed once, run per span.

`compile_condition(text, context)` gives a closure over a `View`. Pure: no I/O, no
clock, no logging. Converters are declared as `tailring_ottl.registry` says, a module
each in `tailring_ottl.functions`.
"""

from tailring_ottl.compile import Condition, compile_condition
from tailring_ottl.errors import ConditionError, EvalError, OttlError
from tailring_ottl.values import Duration, Opaque, Time
from tailring_ottl.view import Getter, View

__all__ = [
    "Condition",
    "ConditionError",
    "Duration",
    "EvalError",
    "Getter",
    "Opaque",
    "OttlError",
    "Time",
    "View",
    "compile_condition",
]
