"""Analysis of trained networks: flatness, variation of local gradients, theory, energy, spikes.

    measures/   what is measured on a network and samples, one subject in each file
    figures/    a figure for each measure
    loading     from the folder of a run or a checkpoint to a network and samples
    report      tables, JSON and figures about one network (`a2sg-zoo analyze`); its sections are in `sections`
    runs        method, seed, network and data of a run, read from its folder
    compare/    several runs side by side (`a2sg-zoo compare_runs`)

Networks are measured in eval mode, so batch norms use their running statistics and the loss is a mean over samples.
"""
