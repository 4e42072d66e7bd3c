"""What is known of a network's structure.

recording.py     every operator that one inference runs, written down
dependency.py    Torch-Pruning's dependency graph: the only file that imports it
layers.py        kinds of layers: their widths, their axes, their filters
batch_norms.py   the BatchNorm that follows a layer, and which layers run once
"""
