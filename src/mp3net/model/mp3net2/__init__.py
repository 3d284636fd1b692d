"""The second family: bins as channels, frames as a sequence of any length, heard through the baseband."""
