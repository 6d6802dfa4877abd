"""``python -m face_strnn.cli``."""

import sys

from face_strnn.cli.program import main

sys.exit(main())
