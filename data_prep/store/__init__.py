"""What lies on disk: crops, tracks and pooling maps, with their tables."""
