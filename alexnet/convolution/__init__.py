"""Convolution by several algorithms: the sliding window, im2col, FFT, Winograd, and torch's own."""
