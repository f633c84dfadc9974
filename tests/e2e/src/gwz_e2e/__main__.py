"""`python -m gwz_e2e run|stack [OPTIONS]`: what `nox -s e2e` and `nox -s stack` call."""

import sys

from gwz_e2e import run, stay

COMMANDS = {"run": run.main, "stack": stay.main}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python -m gwz_e2e {{{','.join(COMMANDS)}}} [OPTIONS]")
    sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))
