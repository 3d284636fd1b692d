"""How good a model is: metrics, each with its floor, its interval and its place on a ladder of known faults."""
