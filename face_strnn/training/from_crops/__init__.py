"""Training that goes back to the pixels: the backbone learns with the network, one fold after another."""
