"""`python -m outthink`: the command without its script."""

import sys

from outthink.cli import main

sys.exit(main())
