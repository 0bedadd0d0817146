"""`python -m overtone`."""

from overtone.cli import main

main()
