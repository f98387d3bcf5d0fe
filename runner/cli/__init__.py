"""The command line."""

from __future__ import annotations

import sys

from runner.cli.mishaps import told


def main() -> None:
    """Run `sendledger` with the arguments of this process. An error that nobody meant ends with exit code 1."""
    from runner.cli.app import app  # here, so that importing a part of the package does not load all commands

    try:
        app()
    except Exception as error:  # noqa: BLE001 - the last place where its words can be kept from the terminal
        sys.stderr.write(told(error))
        sys.exit(1)
