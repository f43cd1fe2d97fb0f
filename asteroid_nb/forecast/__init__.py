"""ASTEROID: a spatiotemporal-information Transformer that predicts many future frames at once and chains them.

An independent implementation of the ideas in the abstract of arXiv:2606.17668 and of the STI literature (ARNN 2020,
STICM 2022, STNN 2022, Delayformer 2025); the full paper's settings were not available to us.
"""
