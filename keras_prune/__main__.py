"""`python -m keras_prune`: the same as the command `keras-prune`."""

import sys

from keras_prune.cli import main

sys.exit(main())
