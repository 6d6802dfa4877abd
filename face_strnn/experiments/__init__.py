"""Methods beside each other under the same folds."""
