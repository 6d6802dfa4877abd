"""Fine-tuning from face crops: the backbone is trained with the network, one fold after another."""
