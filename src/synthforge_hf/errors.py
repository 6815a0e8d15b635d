"""Errors whose message is meant for the user: one line that says what is wrong and what to do about it.

The command line prints the message without a traceback and exits with ``exit_code``.
"""


class SynthForgeError(Exception):
    """Something failed for a reason the user can act on (a damaged file, a full disk, a photo without a face)."""

    exit_code = 1


class UsageError(SynthForgeError, ValueError):
    """The request itself is wrong (an unknown recipe key, an impossible range, an OUT that holds another recipe)."""

    exit_code = 2
