"""`python -m gwz_provision`, where the command itself is not in PATH."""

import sys

from gwz_provision.cli import main

sys.exit(main())
