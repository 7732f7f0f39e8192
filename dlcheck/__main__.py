"""``python -m dlcheck``."""

import sys

from dlcheck.cli.main import main

sys.exit(main())
