"""Protocols, cross-validation, metrics, and the run folder."""
