"""Shape annotations, in one place: ``Float[Tensor, "windows history atoms 3"]``.

They are checked under pytest alone, by jaxtyping's import hook, because run-time checks fight ``torch.compile``; where
jaxtyping is not installed (a GPU node that only trains) the same words are plain documentation.
"""

from __future__ import annotations

try:
    from jaxtyping import Bool, Float, Int
except ImportError:

    class _Unchecked:
        """Stands in for a jaxtyping type: ``Float[Tensor, "atoms 3"]`` is then just ``Tensor``."""

        def __class_getitem__(cls, item):
            return item[0]

    Bool = Float = Int = _Unchecked  # type: ignore[assignment,misc]

__all__ = ["Bool", "Float", "Int"]
