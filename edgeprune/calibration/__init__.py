"""Calibration for int8: which range of values each activation of a network takes.

outputs_kept.py  how much of a network's outputs its compressed copy keeps, on twins
twin.py          the network with every layer at its real level on images that are not real
onnx_runs.py     an ONNX graph run with its inner tensors as outputs
histogram.py     the values that a tensor took
observers.py     histogram → range: min-max, percentile, least squares
closed_form.py   ranges without any image, from BatchNorm statistics
levels.py        what operators make of channels' means and deviations
input_range.py   what range the network's input has, and whether that is known
fidelity.py      how true a quantized file is to its float file
expected_drop.py the accuracy that it loses, as far as the float file knows it

mixed_precision.py   which layers of a quantized file are faster in float
layer_times.py       what a runtime says of its operators, as times of a file's nodes
precision_cut.py     the fastest mixture by these times, exactly
onnx_operators.py    the kinds of operators that all of them tell apart
"""
