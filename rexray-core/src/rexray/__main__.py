"""``python -m rexray`` is the ``rexray`` program."""

from rexray.cli import main

main()
