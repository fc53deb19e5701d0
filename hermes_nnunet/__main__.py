import sys

from hermes_nnunet.cli.main import main

sys.exit(main())
