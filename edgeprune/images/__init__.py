"""Inputs for a network that has no data: made by rule, synthesized, or the user's own unlabelled ones.

source.py        the protocol            procedural.py   images made by rule
sources.py       the table of sources    folder.py       the user's own
given.py         tensors at hand         synthesis/      images that the network itself implies
reading.py       image files             image_sets.py   sets of images in a file
quality.py       whether a network knows the images it is shown
observed.py      a source whose images are judged and saved
time_limit.py    fewer images where time is short
"""
