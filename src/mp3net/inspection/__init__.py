"""What the method makes of one recording: numbers, pictures and sounds."""
