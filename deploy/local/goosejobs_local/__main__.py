"""`goosejobs`, or `python -m goosejobs_local`."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        # Late, because without its extra the package must still be able to say what is missing.
        from goosejobs_local.cli import app  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("goosejobs"):
            raise
        sys.exit(f"`goosejobs` needs {error.name}: pip install 'goosejobs[local,operator,worker]'")
    app()


if __name__ == "__main__":
    main()
