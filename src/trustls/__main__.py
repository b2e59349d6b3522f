"""`python -m trustls`, the same as the command `trustls`."""

import sys

from trustls.cli import main

if __name__ == "__main__":
    sys.exit(main())
