"""The base of all errors that a user can put right."""


class UserError(Exception):
    """Something is not as it has to be; the message says what was expected, what came, what to do.

    A program prints it without a traceback. Each such error also is what callers of its kind
    expect, as a `ConfigError` is a `ValueError`.
    """
