"""The paper's networks, to the letter."""
