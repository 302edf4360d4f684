"""Errors of the engine, in a module that does not import JAX."""

from hrm_jax.core.errors import UserError


class EngineError(RuntimeError):
    """The engine failed while a text was written, or was stopped before it was over."""


class QueueFull(UserError, RuntimeError):
    """More texts wait for a row than may."""


class TooManyTexts(UserError, ValueError):
    """More texts are asked for at once than may ever wait."""
