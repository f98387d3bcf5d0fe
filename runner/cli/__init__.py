"""The command line."""

from __future__ import annotations


def main() -> None:
    """Run `sendledger` with the arguments of this process."""
    from runner.cli.app import app  # here, so that importing a part of the package does not load all commands

    app()
