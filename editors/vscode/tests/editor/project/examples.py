def double(n):
    """
    >>> double(2)
    4
    """
