"""What a copy of a data set holds: one reader per layout, its sequences, its emotions, its problems."""
