# How the binary files here were made: BVLC Caffe 1.0 (CPU, protobuf 3.21, HDF5 1.10, OpenCV 4).
# CAFFE is the folder of its programs, PROTO its src/caffe/proto. The pictures are synthetic.
set -e
"$CAFFE/caffe" train --solver=solver.prototxt
"$CAFFE/caffe" train --solver=solver_h5.prototxt
"$CAFFE/convert_imageset" -backend lmdb pics/ list.txt raw_lmdb
"$CAFFE/convert_imageset" -backend leveldb pics/ list.txt raw_leveldb
"$CAFFE/convert_imageset" -backend lmdb -encoded pics/ list.txt encoded_lmdb
"$CAFFE/convert_imageset" -backend lmdb -gray pics/ list.txt gray_lmdb
"$CAFFE/compute_image_mean" -backend lmdb raw_lmdb mean.binaryproto
for kind in v0 v1; do
  protoc -I "$PROTO" --encode=caffe.NetParameter caffe.proto < $kind.txt > $kind.caffemodel
done
protoc -I "$PROTO" --encode=caffe.Datum caffe.proto < datum.txt > datum.bin
rm -f ./*_lmdb/lock.mdb raw_leveldb/LOCK raw_leveldb/LOG
protoc -I "$PROTO" --decode=caffe.NetParameter caffe.proto \
  < tiny_iter_2.caffemodel > tiny_iter_2.caffemodel.txt
protoc -I "$PROTO" --decode=caffe.SolverState caffe.proto \
  < tiny_iter_2.solverstate > tiny_iter_2.solverstate.txt
