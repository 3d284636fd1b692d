"""Training: the objective, averaged weights, checkpoints, logging and the loop."""
