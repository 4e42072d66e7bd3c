"""Recovery layer by layer: original and pruned network run side by side over the same images.

reconstruct.py       fit each layer in turn
least_squares.py     one layer's fit
bn_statistics.py     BatchNorm statistics transferred from the original
teacher_student.py   the paired forward: both networks, and the channels each layer keeps
side_by_side.py      both run in step, one layer's features at a time
"""
