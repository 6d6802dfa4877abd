"""How networks learn: samples, loss, standardisation, optimisation, stacks of folds."""
