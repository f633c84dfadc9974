import sys

from gwz_stack.cli import main

sys.exit(main())
