"""The lines by which a command shows on standard error how far it is."""

import re

LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)  (.+)")


def without_log(said):
    """What else stands on standard error, as lines."""
    return [line for line in said.strip().splitlines() if not LINE.fullmatch(line)]
