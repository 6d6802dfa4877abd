"""Data sets: a reader per folder layout, labelled sequences, emotions, and problems of a copy."""
