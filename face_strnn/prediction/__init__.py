"""The emotion of a person over time in a recording."""
