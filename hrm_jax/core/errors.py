"""The base class of all errors that a user can correct."""


class UserError(Exception):
    """Something is not as required; the message says what was expected, what was found, what to do.

    A program prints it without a traceback. Each subclass is also of the builtin class that callers
    expect, as a `ConfigError` is a `ValueError`.
    """
