"""`import alexnet.caffe as caffe`: the names that scripts take from it."""

import pytest

import alexnet.caffe as caffe
from alexnet.caffe import face, pictures, pycaffe
from alexnet.caffe.classifier import Classifier


def test_names_are_those_of_the_modules() -> None:
    assert caffe.io is pictures
    assert caffe.io.Transformer is caffe.Transformer
    assert caffe.Net is pycaffe.Net
    assert caffe.Classifier is Classifier
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)


def test_every_name_is_the_faces() -> None:
    assert set(caffe.__all__) == set(face.__all__)
    assert all(vars(face)[name] is caffe.__getattr__(name) for name in caffe.__all__)


def test_another_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"alexnet.caffe has no 'Nett'.*'Net'"):
        _ = caffe.Nett
