"""Boards: the server that runs beside an accelerator, its client, and an emulated board. Needs numpy only, and Python 3.10."""
