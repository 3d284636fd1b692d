"""Recordings on disk: preparing them and drawing crops from them."""
