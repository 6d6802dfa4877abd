"""From image files to pooling maps; knows nothing of the network."""
