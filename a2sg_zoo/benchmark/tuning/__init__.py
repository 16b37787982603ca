"""Search for hyper-parameters, the same number of trials for each method of a suite."""
