"""`python -m gwz_bench [run] [OPTIONS]` measures, `python -m gwz_bench page` writes the page of a run."""

import sys

from gwz_bench import page, run


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    commands = {"run": run.main, "page": page.main}
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    return run.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
