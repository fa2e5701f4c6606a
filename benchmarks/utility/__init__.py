"""``secure-fedsa benchmark utility``: accuracy of all methods over epsilons and seeds."""
