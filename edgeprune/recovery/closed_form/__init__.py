"""Recovery by a formula on weights and stored statistics, without images.

analytic.py         least squares from propagated moments
lbyl.py             LBYL, each removed channel carried by all kept ones
neuron_merging.py   each removed channel carried by the one most like it
released_code.py    what the two papers' own codes compute
redistribution.py   how the coefficients reach the consumers' weights
composed_filters.py what a consumer reads, as one set of filters
group_weights.py    a layer's weight by convolution group
"""
