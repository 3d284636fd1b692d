"""Models for programs that have neither PyTorch nor mp3net."""
