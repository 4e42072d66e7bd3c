"""Inputs for a network without data: procedural, synthesized by model inversion, or the user's own.

source.py        protocol of an image source    procedural.py   dead leaves and pink noise
sources.py       table of the sources           folder.py       the user's own images
given.py         tensors at hand                synthesis/      images by model inversion
reading.py       image files                    image_sets.py   sets of images in a file
quality.py       whether a network's BatchNorm statistics fit the images
observed.py      a source whose images are scored and saved
time_limit.py    fewer images where time is short
"""
