"""What is known of a network's structure.

recording.py          every operator that one inference runs, written down
program_recording.py  the network as a program: program_arguments.py, program_batch.py
running.py            whose forward is running, and how a place is named
computed_weights.py   layers that compute the weight that they use
layers.py             kinds of layers: which own channels, their axes, their filters
declared_widths.py    what a layer says of its size must be what its weight has
batch_norms.py        the BatchNorm that follows a layer, and which layers run once
liveness.py           what the outputs depend on, and what runs for nothing
shared_parameters.py  which layers own a parameter together
outputs.py            the tensors in whatever a forward returns
light_copy.py         copies that share the network's parameters
rerun.py              one operator run again, on other tensors
failing_call.py       which call of a forward fails, in its author's words
solvable.py           equations whose numbers are too extreme, in words
cpu_limit.py          an end for work that has none
"""
