"""A network's forward as data: the operators that ran, run again by an interpreter.

Where the code of a network writes out channel counts (``view(-1, 320)``, ``split([8, 8])``), no
channel could be removed: the code would ask for it. Recorded, the same counts are numbers that can
be rewritten. Layers stay what they are, under their names; only what ran between them is a list of
operators, each by its name in a fixed table, with literal arguments. Nothing of it is code.

    form.py       the list as plain data, and as text    network.py   the module that runs it
    operators.py  which operators it may name            checks.py    what a stored one must be
"""
