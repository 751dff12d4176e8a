"""`python -m metrized.teach` is the command `metrized`."""
from .command import main

main()
