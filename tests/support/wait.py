"""Waiting for a condition, never for a time."""

import time


def until(condition, what, timeout=10.0, interval=0.02):
    """Returns the first true value of condition(); raises after timeout seconds, naming what."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(interval)
