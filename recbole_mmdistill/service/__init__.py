"""An export as an HTTP service: ``recbole-mm serve``.

A request goes through these:

- ``guard.py``: who may ask, and how much (ASGI middleware), before anything is read of it;
- ``app.py``: addresses, and errors in two sentences; nothing is computed on the event loop;
- ``schema.py``: what may be asked and what is answered, with limits;
- ``answers.py``: the answer from an export, in a thread of a bounded pool (``pool.py``);
- ``exports.py``: the export in use. A request takes it once and keeps it, so that a new one can
  take its place at any time.

``server.py`` listens, and ends when it is told to. Neither torch nor RecBole is imported.
"""
