"""`companion` and `python -m companion.publishing`: Ctrl-C is one line from the first import on."""

import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from companion.publishing import cli
    except KeyboardInterrupt:
        print("companion: interrupted", file=sys.stderr)
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
