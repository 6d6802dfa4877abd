"""Protocols, cross-validation, figures of merit, and the run folder."""
