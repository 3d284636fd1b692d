"""`python -m mp3net` is the `mp3net` command."""

from mp3net.apps.cli import main

if __name__ == "__main__":
    main()
