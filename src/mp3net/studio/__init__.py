"""A page on this machine to play with snapshots and to watch trainings."""
