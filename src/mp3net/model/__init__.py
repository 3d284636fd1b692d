"""The two networks and the snapshots that users share."""
