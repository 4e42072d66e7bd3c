"""What is known of a network's structure.

recording.py     every operator that one inference runs, written down
layers.py        kinds of layers: their widths, their axes, their filters
batch_norms.py   the BatchNorm that follows a layer, and which layers run once
rerun.py         one operator run again, on other tensors
outputs.py       the tensors in whatever a forward returns
failing_call.py  which call of a forward fails, in its author's words
liveness.py      what the outputs depend on, and what runs for nothing
shared_parameters.py  and which belong to several layers
cpu_limit.py     an end for work that has none
"""
