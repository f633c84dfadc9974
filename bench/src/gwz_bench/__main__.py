"""`python -m gwz_bench [run] [OPTIONS]` measures, `… page` writes the page of a run, `… dashboards` measures those."""

import sys

from gwz_bench import page, run


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    commands = {"run": run.main, "page": page.main}
    if arguments[:1] == ["dashboards"]:
        from gwz_bench.dashboards import run as dashboards  # noqa: PLC0415  # a second, which no other command takes

        return dashboards.main(arguments[1:])
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    return run.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
