"""`python -m chipmeter`: the command line."""

from chipmeter.cli import main

main()
