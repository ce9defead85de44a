"""What runs on a host when it is prepared: sent there as one script, joined by ``prepare/script.py``.

Standard library only, Python 3.6 to 3.13: no syntax, module or argument that 3.6 lacks.
"""
