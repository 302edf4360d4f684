def contradict(n):
    """
    >>> contradict(2)
    4
    >>> contradict(2)
    5
    """
