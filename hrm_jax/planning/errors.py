"""What stops a plan from being made."""

from hrm_jax.core.errors import UserError


class NoPlanError(UserError, ValueError):
    """An instance has no plan, or none was found; the message says why and what to change."""


class FormatError(UserError, ValueError):
    """A file of tasks, people or plans is not as documented; the message names line and remedy."""
