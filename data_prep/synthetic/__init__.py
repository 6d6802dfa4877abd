"""The synthetic data set: drawn faces with facial action units, in CK+'s layout. It shows no real person."""
