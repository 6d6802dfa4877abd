"""The terminal output of commands."""

from rich.console import Console

console = Console()


def unfolded() -> Console:
    """Return a console for tables: what is no terminal is read by programs or kept in files, and never folds a line."""
    return console if console.is_terminal else Console(width=10_000)
