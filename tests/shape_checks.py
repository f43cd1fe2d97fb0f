"""The type checker the suite hands to jaxtyping: array shapes are checked at every call, everything else is not.

Full run-time checking would shut the package's own doors: a test that hands a list, or None, to a constructor
must meet our error message, and not the checker's.
"""

from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def _names_a_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_names_a_shape(part) for part in get_args(hint))


def shapes_only(function):
    """Return ``function`` checked by beartype wherever its annotations name a shape."""
    hints = getattr(function, "__annotations__", {})
    shaped = {name: hint for name, hint in hints.items() if _names_a_shape(hint)}
    if not shaped:
        return function
    function.__annotations__ = shaped
    return beartype(function)
