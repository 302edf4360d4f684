"""Areas of shapes."""

import math


def square_area(side):
    """Returns the area of a square."""
    return side * side


def circle_area(radius):
    """Returns the area of a circle."""

