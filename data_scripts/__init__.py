"""Public data sets."""


def names():
    return []
