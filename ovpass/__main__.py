"""Run the command line as `python -m ovpass`."""

from ovpass.cli.entry import main

main()
