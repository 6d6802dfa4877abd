"""The synthetic data set: drawn faces, moved by facial action units, in CK+'s layout. No person is shown."""
