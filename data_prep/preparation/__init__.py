"""The work of `face-strnn prepare`: from a copy of a data set to a store."""
