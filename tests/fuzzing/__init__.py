"""Broken inputs for every reader: each is read, or refused in a sentence, and never a traceback.

``targets.py`` says what is read and from what; ``inputs.py`` breaks inputs; ``runner.py`` counts.
``python tests/fuzz.py`` runs it from the command line.
"""
