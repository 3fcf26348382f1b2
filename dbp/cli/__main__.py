"""``python -m dbp.cli``: the command line without its script."""

import sys

from dbp.cli import main

if __name__ == "__main__":
    sys.exit(main())
