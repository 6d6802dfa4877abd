"""Methods compared under the same folds."""
