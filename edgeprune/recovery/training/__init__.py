"""Recovery by training: the pruned network is the student of the original.

supervise.py          on features at block ends
distill.py            on outputs too
feature_training.py   what both share: images, steps, schedule
task.py               the training task: batches, augmentation, comparison
output_losses.py      losses on outputs
"""
