"""Owns `vit-serve serve`; does not know HTTP."""

from argparse import ArgumentParser, Namespace


def configure(parser: ArgumentParser) -> None:
    """Adds one flag for every option of the service."""
    from app.cli.options import add_settings

    parser.description = (
        "Answers requests over HTTP until stopped by SIGTERM or Ctrl-C. POST an image to /v1/classify; a browser shows "
        "the rest at /docs. Every option is also an environment variable; a flag goes before it."
    )
    add_settings(parser)


def run(args: Namespace) -> int:
    """Serves until SIGTERM or Ctrl-C; returns the exit code. Raises ArgumentError, SetupError."""
    from app.cli.options import read_settings

    settings = read_settings(args)  # before the next line, which takes seconds: a typing error is told at once
    from app.api import server

    return server.run(settings)
