"""Images synthesized from what a network has stored: its BatchNorm statistics and its classes.

inversion.py     pixels as parameters     objective.py         what images should be like
generator.py     a generator's weights    statistics_loss.py   BatchNorm statistics
canvas.py        pixel parameters         priors.py            smoothness and contrast
augmentation.py  shifts and flips         logits.py            classes, and where two disagree
swing.py         swing of strides        optimisation.py      task and schedule of training
batch_cache.py   batch after batch, each finished one kept
"""
