"""What Caffe's programs and its Python module do, on nets from text."""
