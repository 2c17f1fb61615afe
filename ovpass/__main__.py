"""Run the command line as `python -m ovpass`."""

from ovpass.cli.main import main

main()
