"""The program ``face-strnn``."""
