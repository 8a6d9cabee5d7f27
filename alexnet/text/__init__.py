"""Nets as text: Caffe's prototxt and caffemodel."""
