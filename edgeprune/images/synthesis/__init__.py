"""Images synthesized from what a network has stored: its BatchNorm statistics and its classes.

inversion.py          pixels as parameters       objective.py        what images should be like
generator.py          a generator's weights      statistics_loss.py  BatchNorm statistics
pixel_parameters.py   images that are trained    priors.py           smoothness and contrast
augmentation.py       shifts, flips and crops    logits.py           classes, and disagreement
swing.py              randomly offset strides    optimisation.py     task and schedule of training
batch_cache.py        batch after batch, each finished one saved
"""
