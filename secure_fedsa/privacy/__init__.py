"""Differential privacy of a teacher's summary: how it is bounded, drawn and paid for.

In the order in which a run meets them:

* :mod:`~secure_fedsa.privacy.clipping`: records to integers of bounded norm, and sums;
* :mod:`~secure_fedsa.privacy.mechanisms`: sensitivity, calibration and noise;
* :mod:`~secure_fedsa.privacy.events`: inert descriptions of what was released;
* :mod:`~secure_fedsa.privacy.accountant`: epsilon of events, by a proved bound;
* :mod:`~secure_fedsa.privacy.cross_check`: the same by other people's accountants;
* :mod:`~secure_fedsa.privacy.ledger`: the durable record of what a data set has spent;
* :mod:`~secure_fedsa.privacy.rosters`: sums whose difference would single a teacher out.
* :mod:`~secure_fedsa.privacy.shown`: bounds as people read them, never better than they are.
"""
