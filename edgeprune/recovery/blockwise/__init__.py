"""Recovery block by block: each block of the pruned network is trained alone, front to back.

blockwise.py      the method
blocks.py         where blocks begin and end: read off the recorded steps
kept_values.py    which channels of what a block gives the pruned network still has
block_task.py     the training of one block
paired_blocks.py  both networks, one block at a time, over cached features
"""
