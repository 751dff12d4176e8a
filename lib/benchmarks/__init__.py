"""How fast the library is, as ratios against peers measured in one interleaved run: `python -m benchmarks` in the folder lib.

No part of the package: `metrized` never imports it. Peers come by `pip install -e "lib[bench]"`; a missing one is reported as missing.
"""
