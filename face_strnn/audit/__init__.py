"""The audit: the claims of a run, derived anew from its files."""
