"""`python -m trustls.cli`, the same as the command `trustls`."""

import sys

from trustls.cli import main

sys.exit(main())
