"""The proof: what a run claims, derived anew from its files."""
