"""``python -m lungwise``."""

from lungwise.cli.main import main

main()
