"""What is known of a network's structure.

recording.py     every operator that one inference runs, written down
dependency.py    Torch-Pruning's dependency graph: the only file that imports it
layers.py        kinds of layers: their widths, their axes, their filters
batch_norms.py   the BatchNorm that follows a layer, and which layers run once
liveness.py      which parameters take part in inference
shared_parameters.py  and which belong to several layers
cpu_limit.py     an end for work that has none
"""
