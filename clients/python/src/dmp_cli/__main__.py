"""`python -m dmp_cli`, and the program `dmp`."""

import sys


def main() -> None:
    """Runs the command line; says what is missing if it was installed without it."""
    try:
        from dmp_cli.app import main as run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.stderr.write("dmp: the command line is not installed. pip install 'dmp-client[cli]'\n")
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
